import { make } from './dom.js'
import { showList } from './list-view.js'
import { showOverlay } from './overlay-view.js'
import { showRun } from './run-view.js'
import { takeToken } from './server.js'
import { showError, type View } from './view.js'

let view: View | null = null
let turn = 0

/** The pages of data and their viewer: a file and a style sheet of their own. */
interface ReviewPages {
  showData(main: HTMLElement): View
  showReview(main: HTMLElement, id: string): View
}

/** Show the page that the fragment of the address names. */
function route(): void {
  takeToken()
  view?.close()
  showError(null)
  const main = document.getElementById('main')!
  const [, page, ids = ''] = location.hash.split('/')
  const mine = ++turn
  for (const link of document.querySelectorAll<HTMLAnchorElement>('.top nav a'))
    link.setAttribute('aria-current', String(link.hash === (isData(page) ? '#/data' : '#/')))
  if (isData(page)) {
    view = null
    document.title = 'Data – freetumor studio'
    void reviewPages().then((pages) => {
      if (mine !== turn) return
      view = page === 'data' ? pages.showData(main) : pages.showReview(main, ids)
      document.title = `${view.title} – freetumor studio`
    })
    return
  }
  if (page === 'run') view = showRun(main, ids)
  else if (page === 'overlay') view = showOverlay(main, ids.split(','))
  else view = showList(main)
  document.title = `${view.title} – freetumor studio`
}

function isData(page: string | undefined): boolean {
  return page === 'data' || page === 'review'
}

/** Load the viewer when it is needed first. */
async function reviewPages(): Promise<ReviewPages> {
  if (document.getElementById('review-style') === null) {
    const style = make('link', { is: { rel: 'stylesheet', href: '/review.css', id: 'review-style' } })
    const loaded = new Promise((resolve) => style.addEventListener('load', resolve))
    document.head.append(style)
    // without its style the page would move
    await loaded
  }
  const path = '/review.js'
  return (await import(path)) as ReviewPages
}

addEventListener('hashchange', () => {
  route()
  // a screen reader continues at the new page
  document.getElementById('main')!.focus()
})
route()

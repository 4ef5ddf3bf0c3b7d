import { showList } from './list-view.js'
import { showOverlay } from './overlay-view.js'
import { showRun } from './run-view.js'
import { takeToken } from './server.js'
import { showError, type View } from './view.js'

let view: View | null = null

/** Show the page that the fragment of the address names. */
function route(): void {
  takeToken()
  view?.close()
  showError(null)
  const main = document.getElementById('main')!
  const [, page, ids = ''] = location.hash.split('/')
  if (page === 'run') view = showRun(main, ids)
  else if (page === 'overlay') view = showOverlay(main, ids.split(','))
  else view = showList(main)
  document.title = `${view.title} – freetumor studio`
}

addEventListener('hashchange', () => {
  route()
  // a screen reader continues at the new page
  document.getElementById('main')!.focus()
})
route()

import type { CollectionList } from '../../review/messages.js'
import { make, makeNotice, makeTable } from '../dom.js'
import { asServerError } from '../server.js'
import { showError, type View } from '../view.js'
import { timeOf } from '../words.js'
import { readCollections } from './data.js'
import { KINDS } from './item-words.js'

const REFRESH_MS = 5000

/** The list of synthetic data sets, evaluations, audits and checks. */
export function showData(main: HTMLElement): View {
  const place = make('div', {}, make('p', { class: 'missing' }, 'Searching the folders…'))
  main.replaceChildren(make('h1', {}, 'Data'), place)
  let shown = ''
  const show = (list: CollectionList): void => {
    const text = JSON.stringify(list)
    if (text === shown) return
    shown = text
    place.replaceChildren(list.collections.length === 0 ? noData(list) : tableOf(list))
  }
  const refresh = async (): Promise<void> => {
    if (document.hidden) return
    try {
      show(await readCollections())
      showError(null)
    } catch (error) {
      const lost = asServerError(error)
      if (shown !== '') showError(lost)
      else place.replaceChildren(makeNotice(lost.message, lost.hint))
    }
  }
  void refresh()
  const timer = setInterval(refresh, REFRESH_MS)
  return { title: 'Data', close: () => clearInterval(timer) }
}

function tableOf({ collections, unlisted }: CollectionList): HTMLElement {
  const rows = collections.map(({ id, kind, name, path, changed }) => [
    make(
      'span',
      {},
      make('a', { is: { href: `#/review/${id}` } }, name),
      make('span', { class: 'quiet path block' }, path),
    ),
    KINDS[kind],
    timeOf(changed),
  ])
  const more = unlisted > 0 ? `; ${unlisted} older ones are not listed` : ''
  return makeTable(`The last changed one comes first${more}`, ['name', 'kind', 'changed (UTC)'], rows, [1])
}

function noData({ folders }: CollectionList): HTMLElement {
  return makeNotice(
    'No data yet',
    `There is no synthetic data set, evaluation, audit or data check below ${folders.join(', ')}. Make a data set, and name its folder and the folder of its hosts:`,
    'freetumor synthesize --images scans --labels organs --out synthetic\nfreetumor studio synthetic scans --control',
  )
}

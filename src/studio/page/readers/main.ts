import { takeToken } from '../server.js'
import { readSession } from './data.js'
import { showFault } from './fault.js'
import { ReaderPage } from './reader-page.js'

/** Show the page of the reader whose token the address holds. */
async function open(): Promise<void> {
  takeToken()
  const main = document.getElementById('main')!
  try {
    new ReaderPage(main, await readSession()).open()
  } catch (error) {
    showFault(error)
  }
}

// a link that is opened in the same tab changes the fragment only
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) location.reload()
})
void open()

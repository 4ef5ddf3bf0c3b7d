import { expect, it } from 'vitest'
import { renderAudit } from '../../src/report/audit-page.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

it('the page of an audit shows hostile names as text', () => {
  const panel = { name: HOSTILE, width: 1, height: 1, a: Uint8Array.of(1), b: Uint8Array.of(2) }
  const pair = {
    kind: 'near',
    cases: [HOSTILE, HOSTILE] as const,
    sides: [HOSTILE, HOSTILE] as const,
    leak: true,
    message: HOSTILE,
    panels: [panel],
  }
  const html = renderAudit({ numCases: 2, pairs: [pair], notes: [HOSTILE], made: HOSTILE })
  // made and the note, five cells of the table, then the picture: its text twice, what it says of the pair
  expectShownAsText(html, 12)
  expect(html.match(/<img /g)).toHaveLength(1)
})

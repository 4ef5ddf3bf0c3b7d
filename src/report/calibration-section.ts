import { counted } from '../plain-text.js'
import type { UsedCalibration } from '../quality/calibration.js'
import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'

/** Return the thresholds of the calibrated policy, and the cost of its baseline on healthy scans; empty without them. */
export function calibrationSection(used: UsedCalibration | null | undefined): string {
  if (!used) return ''
  const rows = used.thresholds.map(({ organ, size, threshold, tumors, of }) => {
    const source = { size: 'of this size', organ: 'of all sizes', none: 'too few' }[of]
    const accepts = threshold === null ? 'all' : `from ${(100 * threshold).toFixed(1)} %`
    return `<tr><th scope="row">${organ} ${escapeHtml(size)}</th><td>${accepts}</td><td>${tumors}</td><td>${source}</td></tr>`
  })
  const head = ['accepted detected fraction', 'real tumors', 'their sizes']
  return `<h3>Calibrated thresholds</h3>${openScroll('Calibrated thresholds')}<table><caption>A real tumor is rejected with a probability of at most ${used.rejectedShare}</caption><thead><tr><th></th>${head.map((text) => `<th scope="col">${text}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>${healthyText(used)}`
}

function healthyText({ healthy }: UsedCalibration): string {
  if (healthy === null) return '<p>No healthy scan was measured.</p>'
  const { scans, lesionFree, falsePositivesPerScan } = healthy
  const [low, high] = lesionFree.ci.map((end) => (100 * end).toFixed(1))
  return `<p>The baseline on ${counted(scans, 'healthy scan')}: ${falsePositivesPerScan.toFixed(2)} false positives per scan, ${(100 * lesionFree.rate).toFixed(1)} % of the scans lesion-free (95 % interval ${low} to ${high}).</p>`
}

/**
 * Append reviews without end, and print the number of each one that is acknowledged:
 *     node append-reviews.mjs FILE REVIEWER FIRST
 */
import { writeSync } from 'node:fs'
import { appendReview } from '../../dist/quality/reviews.js'

const [file, reviewer, first] = process.argv.slice(2)
for (let tumor = Number(first); ; tumor++) {
  await appendReview(file, {
    time: new Date().toISOString(),
    reviewer,
    case: 'case',
    variant: 0,
    tumor,
    sha256: 'a'.repeat(64),
    decision: 'accept',
    reason: 'x'.repeat(tumor % 400),
    seconds: 1,
    version: '0.1.0',
  })
  writeSync(1, `${tumor}\n`)
}

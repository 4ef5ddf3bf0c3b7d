import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type ConsoleReportOptions, openConsoleReport } from '../../src/report/console.js'
import type { RunEvent } from '../../src/training/events.js'
import { everyEvent, finished, note, started, step, synthesis, validation } from './example-events.js'

interface World {
  readonly show: (event: RunEvent) => void
  readonly close: () => void
  /** Everything written, in order: lines of `note` end in a newline. */
  readonly written: string[]
  clockMs: number
}

function world(options: Partial<ConsoleReportOptions> & { isTTY?: boolean; columns?: number } = {}): World {
  const { isTTY = false, columns = 100, ...rest } = options
  const written: string[] = []
  const clock = { clockMs: 0 }
  const report = openConsoleReport({
    note: (text) => void written.push(`${text}\n`),
    color: false,
    stream: { isTTY, columns, write: (text) => void written.push(text) },
    now: () => clock.clockMs,
    ...rest,
  })
  return Object.assign(clock, report, { written })
}

/** What stands on the line of the cursor after carriage returns and newlines have done their work. */
function currentLine(written: readonly string[]): string {
  const line = stripVTControlCharacters(written.join('')).split('\n').at(-1)!
  let cells: string[] = []
  for (const part of line.split('\r')) cells = [...part, ...cells.slice([...part].length)]
  return cells.join('').trimEnd()
}

describe('without a terminal', () => {
  test('prints the first step of a run', () => {
    const at = world()
    at.show(started())
    at.show(step(0))
    at.show(step(1))
    expect(at.written).toHaveLength(2)
    expect(at.written[1]).toContain('step 1/100')
  })

  test('prints at most one line every ten seconds', () => {
    const at = world()
    at.show(started())
    at.show(step(0))
    at.clockMs = 9_999
    at.show(step(1))
    expect(at.written).toHaveLength(2)
    at.clockMs = 10_000
    at.show(step(2))
    expect(at.written).toHaveLength(3)
    expect(at.written[2]).toContain('step 3/100')
  })

  test('prints losses, speed, time left and the shares of tumors in plain text', () => {
    const at = world()
    at.show(started())
    at.show(synthesis(0))
    at.show(step(0))
    expect(at.written[1]).toBe(
      'segmentation step 1/100  total 0.750  50 s left  detected 60 %, accepted 50 %  2.00 steps/s  dice 0.500  cross entropy 0.250\n',
    )
  })

  test('prints a line for every event except steps and tumors', () => {
    const at = world()
    for (const event of everyEvent) at.show(event)
    const text = at.written.join('')
    expect(text).toContain('38 of 38 tensors taken\n')
    expect(text).toContain('warning: no host has a kidney\n')
    expect(text).toContain('segmentation: 100 steps, 2 ranks on cpu, segmentor 0.35 M parameters\n')
    expect(text).toContain('set learning rate 0.00005, from step 50 on\n')
    expect(text).toContain('pause, from step 60 on\n')
    expect(text).toContain('validation at step 100 on 4 cases: tumor Dice 0.625, the best so far\n')
    expect(text).toContain('checkpoint at step 100: runs/a/checkpoints/step_00000100 (end)\n')
    expect(text).toMatch(/segmentation completed at step 100 \(total 0\.750, .*accepted 50 %\)\n$/)
    expect(at.written.every((line) => line.endsWith('\n'))).toBe(true)
  })

  test('prints that no validation case has a tumor, and why a run failed', () => {
    const at = world()
    at.show(started({ job: 'baseline', step: 40 }))
    at.show(validation(50, { tumorDice: null, best: false, numCases: 1 }))
    at.show(finished({ outcome: 'failed', reason: 'rank 1 died', step: 50 }))
    expect(at.written.join('')).toBe(
      [
        'baseline from step 40: 100 steps, 2 ranks on cpu, segmentor 0.35 M parameters\n',
        'validation at step 50 on 1 case: none has a tumor\n',
        'baseline failed at step 50: rank 1 died\n',
      ].join(''),
    )
  })

  test('resets the figures when the next run starts', () => {
    const at = world()
    at.show(started())
    at.show(synthesis(0))
    at.show(step(0))
    at.show(started({ job: 'baseline' }))
    at.show(step(0, { job: 'baseline' }))
    expect(at.written.at(-1)).toContain('baseline step 1/100')
    expect(at.written.at(-1)).not.toContain('accepted')
  })
})

describe('on a terminal', () => {
  test('overwrites its line with a bar, and leaves nothing of a longer line', () => {
    const at = world({ isTTY: true })
    at.show(started())
    at.show(step(49, { losses: { total: 123.456 } }))
    expect(currentLine(at.written)).toContain('━━━━━━━━────────  step 50/100  total 123')
    at.clockMs = 1_000
    at.show(step(99, { losses: { total: 0.5 } }))
    expect(currentLine(at.written)).toBe(
      'segmentation ━━━━━━━━━━━━━━━━  step 100/100  total 0.500  0 s left  2.00 steps/s',
    )
    expect(at.written.filter((text) => text.endsWith('\n'))).toHaveLength(1)
  })

  test.each([10, 20, 40, 80, 200])('fits into %i columns, with the important figures first', (columns) => {
    const at = world({ isTTY: true, columns })
    at.show(started())
    at.show(synthesis(0))
    at.show(step(0))
    expect(currentLine(at.written).length).toBeLessThan(columns)
    if (columns >= 80) expect(currentLine(at.written)).toContain('step 1/100  total 0.750  50 s left')
    expect(currentLine(at.written).includes('cross entropy')).toBe(columns === 200)
  })

  test('prints notes above the line and continues below them', () => {
    const at = world({ isTTY: true })
    at.show(started())
    at.show(step(0))
    at.show(note('hello'))
    expect(currentLine(at.written)).toBe('')
    expect(at.written.at(-1)).toBe('hello\n')
    at.show(step(1))
    expect(currentLine(at.written)).toContain('step 2/100')
  })

  test('draws at most ten times a second', () => {
    const at = world({ isTTY: true })
    at.show(started())
    for (let n = 0; n < 50; n++) {
      at.clockMs = n * 10
      at.show(step(n))
    }
    expect(at.written.filter((text) => text.includes('step '))).toHaveLength(5)
  })

  test('removes its line when closed and prints nothing afterwards', () => {
    const at = world({ isTTY: true })
    at.show(started())
    at.show(step(0))
    at.close()
    expect(currentLine(at.written)).toBe('')
    const before = at.written.length
    at.show(step(1))
    at.show(note('late'))
    at.close()
    expect(at.written).toHaveLength(before)
  })
})

test.each([true, false])('writes escape sequences only if colours are allowed: %s', (color) => {
  for (const isTTY of [true, false]) {
    const at = world({ isTTY, color })
    for (const event of everyEvent) at.show(event)
    const text = at.written.join('')
    expect(text !== stripVTControlCharacters(text)).toBe(color)
  }
})

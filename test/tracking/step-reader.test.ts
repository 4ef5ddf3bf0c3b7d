import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { StepReader } from '../../src/tracking/step-reader.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { finished, started, stepEvent, steps, validation, writeEvents } from './run-events.js'

function readerOf(folder: string): StepReader {
  const reader = new StepReader(folder)
  onTestFinished(() => reader.close())
  return reader
}

const numbers = (batch: { readonly steps: readonly { readonly step: number }[] }): number[] =>
  batch.steps.map(({ step }) => step)

describe('StepReader', () => {
  it('returns a step with its validation once the next step ends', async () => {
    const folder = temporaryFolder()
    writeEvents(folder, [started(), stepEvent(0), stepEvent(1), validation(2)])
    const reader = readerOf(folder)
    expect(numbers(await reader.next(-1))).toEqual([0])
    writeEvents(folder, [started(), stepEvent(0), stepEvent(1), validation(2), stepEvent(2)])
    const { steps: found, started: start } = await reader.next(0)
    expect(found.map(({ step }) => step)).toEqual([1])
    expect(found[0]!.values).toMatchObject({ 'validation/tumorDice': 0.5, 'loss/total': 0.1 })
    expect(start).toMatchObject({ worldSize: 2 })
  })

  it('returns the last step of a run that finished, or that resumed after it', async () => {
    for (const last of [finished(2), started(2)]) {
      const folder = temporaryFolder()
      writeEvents(folder, [started(), ...steps(0, 2), last])
      expect(numbers(await readerOf(folder).next(-1))).toEqual([0, 1])
    }
  })

  it('keeps back the last step of a killed run', async () => {
    const folder = temporaryFolder()
    writeEvents(folder, [started(), ...steps(0, 2)])
    expect(numbers(await readerOf(folder).next(-1))).toEqual([0])
  })

  it('reads a replaced file from its start, without the steps that are known', async () => {
    const folder = temporaryFolder()
    writeEvents(folder, [started(), ...steps(0, 6)])
    const reader = readerOf(folder)
    expect(numbers(await reader.next(-1))).toEqual([0, 1, 2, 3, 4])
    // a resume from step 2 writes a new file, and repeats steps with other values
    const text = [started(), ...steps(0, 2), started(2), ...steps(2, 8, 9)].map((one) => JSON.stringify(one))
    writeFileSync(join(folder, 'aside'), `${text.join('\n')}\n`)
    renameSync(join(folder, 'aside'), join(folder, 'events.jsonl'))
    expect((await reader.next(4)).steps).toMatchObject([
      { step: 5, values: { 'loss/total': 9 } },
      { step: 6, values: { 'loss/total': 9 } },
    ])
  })

  it('returns a long run in batches that fit a request', async () => {
    const folder = temporaryFolder()
    writeEvents(folder, [started(), ...steps(0, 5000), finished(5000)])
    const reader = readerOf(folder)
    const seen: number[] = []
    for (let over = false; !over; ) {
      const batch = await reader.next(seen.at(-1) ?? -1)
      expect(batch.steps.reduce((sum, { values }) => sum + Object.keys(values).length, 0)).toBeLessThan(1000)
      seen.push(...numbers(batch))
      over = batch.atEnd
    }
    expect(seen).toEqual([...Array(5000).keys()])
  })
})

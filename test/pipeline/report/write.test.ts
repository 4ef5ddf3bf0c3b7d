import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig, printConfig } from '../../../src/config/load.js'
import { RECORD } from '../../../src/config/paths.js'
import { UsageError } from '../../../src/errors.js'
import { writeAnyReport, writeDemoReport, writeRunReport } from '../../../src/pipeline/report/write.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { everyEvent, pictureFile, started, step } from '../../report/example-events.js'

const LEDGER = [
  {
    step: 11,
    item: 3,
    crop: 0,
    case: 'a',
    organ: 'liver',
    size: 'tiny',
    verdict: 'accepted',
    reason: 'seen',
    measures: { shareSeen: 0.85 },
  },
  {
    step: 11,
    item: 3,
    crop: 1,
    case: 'a',
    organ: 'kidney',
    size: 'small',
    verdict: 'rejected',
    reason: 'notSeen',
    measures: { shareSeen: 0.1 },
  },
  { step: 12, item: 4, crop: 0, case: 'b', verdict: 'noRoom', reason: 'noRoom' },
]

/** A run directory as a training leaves it. */
function runDirectory(folder = join(temporaryFolder(), 'first')): string {
  mkdirSync(join(folder, 'pictures'), { recursive: true })
  writeFileSync(join(folder, 'config.resolved.yaml'), 'job: segmentation\n')
  writeFileSync(join(folder, 'events.jsonl'), lines(everyEvent))
  writeFileSync(join(folder, 'ledger.jsonl'), lines(LEDGER))
  writeFileSync(
    join(folder, 'plan.json'),
    JSON.stringify({ labelNames: ['background', 'liver', 'liver tumor'] }),
  )
  writeFileSync(join(folder, 'pictures/step_00000011.json'), JSON.stringify(pictureFile()))
  return folder
}

function lines(values: readonly object[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('')
}

describe('the report of a run', () => {
  test('is built from all files of the run, and leaves no temporary file', async () => {
    const run = runDirectory()
    const path = await writeRunReport(run)
    expect(path).toBe(join(run, 'report.html'))
    const page = readFileSync(path, 'utf8')
    expect(page).toContain('<h1>first</h1>')
    expect(page).toContain('liver tumor</th><td>0.625')
    expect(page).toContain('job: segmentation')
    expect(page).toContain('In 1 crop there was no room')
    expect(readdirSync(run).filter((name) => name.startsWith('report'))).toEqual(['report.html'])
  })

  test('shows the verdict of the ledger next to the picture of a tumor', async () => {
    const run = runDirectory()
    expect(readFileSync(await writeRunReport(run), 'utf8')).toContain('accepted · detected fraction 85.0 %<')
    writeFileSync(join(run, 'ledger.jsonl'), lines([{ ...LEDGER[0]!, verdict: 'rejected' }]))
    expect(readFileSync(await writeRunReport(run), 'utf8')).toContain('rejected · detected fraction 85.0 %<')
  })

  test('names the threshold of the configuration, by organ and size', async () => {
    const run = runDirectory()
    const quality = {
      shareSeenThreshold: 0.7,
      overrides: [{ size: 'tiny' as const, shareSeenThreshold: 0.9 }],
    }
    const config = await loadConfig('debug-segmentation')
    writeFileSync(join(run, RECORD), printConfig({ ...config, quality: { ...config.quality, ...quality } }))
    expect(readFileSync(await writeRunReport(run), 'utf8')).toContain(
      'accepted · detected fraction 85.0 %, threshold 90 %<',
    )
  })

  test('is the same byte by byte when it is written again', async () => {
    const run = runDirectory()
    const first = readFileSync(await writeRunReport(run))
    expect(readFileSync(await writeRunReport(run)).equals(first)).toBe(true)
  })

  test('overwrites an older one', async () => {
    const run = runDirectory()
    await writeRunReport(run)
    writeFileSync(join(run, 'events.jsonl'), lines([started(), step(0), step(1)]))
    expect(readFileSync(await writeRunReport(run), 'utf8')).toContain('the events end after 2 steps')
  })

  test('names what is missing or damaged instead of failing', async () => {
    const run = runDirectory()
    for (const name of ['events.jsonl', 'ledger.jsonl', 'plan.json']) rmSync(join(run, name))
    writeFileSync(join(run, 'pictures/step_00000012.json'), '{"step": 12')
    writeFileSync(join(run, 'pictures/step_00000013.json'), '{"step": "x"}')
    const page = readFileSync(await writeRunReport(run), 'utf8')
    expect(page).toContain('events.jsonl is missing')
    expect(page).toContain('pictures/step_00000012.json: is not JSON')
    expect(page).toContain('pictures/step_00000013.json: planes: wrong value (expected at least one plane)')
  })

  test('shows the time by stage of a run that was profiled; a damaged profile is named', async () => {
    const run = runDirectory()
    const times = { calls: 2, seconds: 0.5, processorSeconds: 0.4, deviceSeconds: null }
    const profile = {
      steps: 2,
      seconds: 1,
      processorSeconds: 1,
      device: 'cpu',
      stages: [{ name: 'paint', ...times }],
    }
    writeFileSync(join(run, 'profile.json'), JSON.stringify(profile))
    expect(readFileSync(await writeRunReport(run), 'utf8')).toContain('paint</th>')
    for (const damaged of ['{"steps": 2', JSON.stringify({ ...profile, stages: [times] })]) {
      writeFileSync(join(run, 'profile.json'), damaged)
      const page = readFileSync(await writeRunReport(run), 'utf8')
      expect(page).toContain('profile.json is damaged: the time by stage is not shown.')
      expect(page).not.toContain('Time by stage')
    }
  })

  test('leaves out a line of the log that a crash has torn', async () => {
    const run = runDirectory()
    writeFileSync(join(run, 'events.jsonl'), `${lines([started(), step(0)])}{"type":"step","st`)
    expect(readFileSync(await writeRunReport(run), 'utf8')).toContain('the events end after 1 step ')
  })
})

describe('the report of a demo', () => {
  test('holds its runs and the evaluations that were made', async () => {
    const out = temporaryFolder()
    for (const job of ['baseline', 'segmentation']) runDirectory(join(out, job))
    const jobs = ['baseline', 'segmentation'].map((job) => ({
      job,
      run: '/moved/away',
      outcome: 'completed',
    }))
    writeFileSync(join(out, 'demo.json'), JSON.stringify({ jobs }))
    mkdirSync(join(out, 'evaluation/baseline'), { recursive: true })
    writeFileSync(join(out, 'evaluation/baseline/summary.json'), JSON.stringify(summary()))
    const page = readFileSync(await writeDemoReport(out), 'utf8')
    expect(page).toContain('<h2>baseline</h2>')
    expect(page).toContain('<h2>segmentation</h2>')
    expect(page).toContain('baseline on held-out phantoms')
    expect(page).not.toContain('segmentation on held-out phantoms')
    expect(page).toContain('tumor Dice</th><td><b>0.500</b></td><td>0.400 – 0.600</td><td>8</td>')
    expect(page).toContain('Dice of liver tumor</th><td colspan="4" class="missing">no case counts')
    expect(page).toContain('Not measured, and in no figure: case_3.')
  })
})

describe('a path', () => {
  test('of a run, a demo or a ledger each gets its page', async () => {
    const out = temporaryFolder()
    const run = runDirectory(join(out, 'baseline'))
    writeFileSync(join(out, 'demo.json'), JSON.stringify({ jobs: [{ job: 'baseline' }] }))
    expect(await writeAnyReport(run)).toBe(join(run, 'report.html'))
    expect(await writeAnyReport(out)).toBe(join(out, 'report.html'))
    const made = temporaryFolder()
    writeFileSync(join(made, 'ledger.jsonl'), lines(LEDGER))
    expect(await writeAnyReport(made)).toBe(join(made, 'report.html'))
    const page = readFileSync(await writeAnyReport(join(made, 'ledger.jsonl')), 'utf8')
    expect(page).toContain('kidney</th>')
    expect(page).not.toContain('There is no run')
  })

  test('of nothing of the kind is refused with what would do', async () => {
    const empty = temporaryFolder()
    for (const path of [empty, join(empty, 'none'), join(empty, 'none.jsonl')]) {
      await expect(writeAnyReport(path)).rejects.toThrow(UsageError)
      await expect(writeAnyReport(path)).rejects.toThrow(path)
    }
  })
})

/** The parts of a summary.json that the report reads. */
function summary(): object {
  return {
    grid: 'original',
    failedCases: ['case_3'],
    classes: { 2: { dice: null } },
    tumorDice: { mean: 0.5, ci: [0.4, 0.6], n: 8 },
    tumorNsd: null,
    lesions: null,
    bootstrap: { seed: 0, resamples: 1000, level: 0.95 },
  }
}

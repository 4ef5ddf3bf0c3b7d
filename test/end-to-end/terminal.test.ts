import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { signalAll } from '../../scripts/faults/terminal-session.mjs'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { openNewestGood } from '../../src/training/checkpoints.js'
import type { RunEvent } from '../../src/training/events.js'
import { readNifti } from '../../src/volume/nifti.js'
import { builtMain, runCli } from '../helpers/cli.js'
import { runPython } from '../helpers/python.js'
import { keptFolder, temporaryFolder } from '../helpers/temporary.js'
import { CTRL_C, CTRL_Z, type OnTerminal, startOnTerminal } from '../helpers/terminal.js'
import { until } from '../helpers/until.js'

const STEPS = 60
/** Longer than any step on a busy machine. */
const HANG_SECONDS = 10
const STEP_PRINTED = /step [1-9]\d*\/60/

const CONFIG = `job: baseline
name: terminal
region: abdomen
data:
  root: phantoms
  phantoms: { labelledCases: 2, validationCases: 1, hostCases: 1, testCases: 1, sizeVoxels: 48, seed: 1 }
  datasets: [{ name: phantom_labelled }]
sampling: { patchVoxels: [24, 24, 24], cropsPerVolume: 1, itemsPerStep: 2, tumorOdds: 0.8, negativeOdds: 0.2, mixing: false, workers: 1 }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: ${STEPS}, learningRate: 0.006, warmupSteps: 5, checkpointEverySteps: 10000, validateEverySteps: 10000 }
runtime: { device: cpu }
`

const cwd = keptFolder()
const config = join(cwd, 'config.yaml')
const uninterrupted = new Map<number, string[]>()

writeFileSync(config, CONFIG)

/** Losses of the uninterrupted run with this number of ranks. */
async function expectedLosses(ranks: number): Promise<string[]> {
  const out = join(cwd, `uninterrupted-${ranks}`)
  if (!uninterrupted.has(ranks)) {
    const done = await runCli(training(out, ranks), { cwd })
    expect(done.code, done.stderr).toBe(0)
    uninterrupted.set(ranks, lossesOf(out))
  }
  return uninterrupted.get(ranks)!
}

const training = (out: string, ranks: number, ...settings: string[]): string[] => [
  ...['train', '--config', config, '--out', out],
  ...['--set', `runtime.processesPerNode=${ranks}`, ...settings],
]

/** Those that are written whole: the last line of a run that trains may not be. */
function eventsOf(run: string): RunEvent[] {
  const lines = readFileSync(join(run, 'events.jsonl'), 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as RunEvent)
}

const stepsOf = (run: string) => eventsOf(run).flatMap((event) => (event.type === 'step' ? [event] : []))

/** A line a step; JSON keeps every bit of a number. */
const lossesOf = (run: string): string[] =>
  stepsOf(run).map(({ step, losses }) => JSON.stringify([step, losses]))

const exitOf = (run: string): unknown => JSON.parse(readFileSync(join(run, 'exit.json'), 'utf8'))

/** Checks that the run was stopped with its newest step saved, with the losses of an uninterrupted run so far. */
async function expectSaved(run: string, ranks: number): Promise<void> {
  const step = stepsOf(run).length
  expect(exitOf(run)).toMatchObject({ outcome: 'stopped', exitCode: 75, step })
  const damages: string[] = []
  expect(await openNewestGood(run, (text) => void damages.push(text))).toMatchObject({ step })
  expect(damages).toEqual([])
  expect(lossesOf(run)).toEqual((await expectedLosses(ranks)).slice(0, step))
}

/** Checks that the run resumes to the losses of an uninterrupted run. */
async function expectResumes(run: string, ranks: number): Promise<void> {
  const resumed = await runCli(['train', '--resume', run], { cwd })
  expect(resumed.code, resumed.stderr).toBe(0)
  expect(lossesOf(run)).toEqual(await expectedLosses(ranks))
}

async function expectCompleted(run: string, ranks: number): Promise<void> {
  expect(exitOf(run)).toMatchObject({ outcome: 'completed', exitCode: 0, step: STEPS })
  expect(eventsOf(run).filter(({ type }) => type === 'restart')).toEqual([])
  expect(lossesOf(run)).toEqual(await expectedLosses(ranks))
}

const nothingIsLeft = ({ processes }: OnTerminal): Promise<void> => until(() => processes().length === 0)

describe('a training on a terminal', () => {
  it.each([1, 2])(
    'saves its step after Ctrl-C, leaves no process and resumes, with %i ranks',
    async (ranks) => {
      const run = join(temporaryFolder(), 'run')
      const started = startOnTerminal([process.execPath, builtMain, ...training(run, ranks)], { cwd })
      await started.terminal.printed(STEP_PRINTED)
      started.terminal.press(CTRL_C)
      expect(await started.terminal.ended, started.terminal.text).toEqual({ code: 75, signal: null })
      await nothingIsLeft(started)
      await expectSaved(run, ranks)
      await expectResumes(run, ranks)
    },
  )

  it('saves its step after Ctrl-C under `npm run`, which passes the signal on a second time', async () => {
    const folder = temporaryFolder()
    const run = join(folder, 'run')
    const scripts = { train: `"${process.execPath}" "${builtMain}" ${training(run, 1).join(' ')}` }
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', private: true, scripts }))
    const started = startOnTerminal(['npm', 'run', '--silent', 'train'], { cwd: folder })
    await started.terminal.printed(STEP_PRINTED)
    started.terminal.press(CTRL_C)
    await started.terminal.ended
    await nothingIsLeft(started)
    await expectSaved(run, 1)
  })

  it('stops during the preparation of its data, and resumes', async () => {
    const folder = temporaryFolder()
    const run = join(folder, 'run')
    const argv = training(run, 1, `prepare.cache=${join(folder, 'cache')}`)
    const started = startOnTerminal([process.execPath, builtMain, ...argv], { cwd })
    await until(() => started.processes().some(({ command }) => command.includes('freetumor_runtime')))
    started.terminal.press(CTRL_C)
    expect(await started.terminal.ended, started.terminal.text).toEqual({ code: 75, signal: null })
    await nothingIsLeft(started)
    expect(exitOf(run)).toMatchObject({ outcome: 'stopped', step: 0 })
    await expectResumes(run, 1)
  })

  it('saves its step when the terminal is closed', async () => {
    const run = join(temporaryFolder(), 'run')
    const started = startOnTerminal([process.execPath, builtMain, ...training(run, 2)], { cwd })
    await started.terminal.printed(STEP_PRINTED)
    started.terminal.hangUp()
    expect(await started.terminal.ended).toEqual({ code: 75, signal: null })
    await nothingIsLeft(started)
    await expectSaved(run, 2)
  })

  it('survives the end of its terminal under nohup', async () => {
    const folder = temporaryFolder()
    const run = join(folder, 'run')
    const started = startOnTerminal(
      ['nohup', process.execPath, builtMain, ...training(run, 1), '--output', 'ndjson'],
      { cwd: folder },
    )
    await until(() => existsSync(join(run, 'events.jsonl')) && stepsOf(run).length > 0)
    started.terminal.hangUp()
    expect(await started.terminal.ended).toEqual({ code: 0, signal: null })
    await expectCompleted(run, 1)
  })

  it.each([
    ['stdout', '', ['--output', 'ndjson']],
    ['stdout and stderr', ' 2>&1', []],
  ])('trains to its end when the reader of %s exits', async (_name, redirect, flags) => {
    const folder = temporaryFolder()
    const run = join(folder, 'run')
    const pipeline = `{ "$@"; echo $? > code; }${redirect} | head -n 1`
    const argv = [process.execPath, builtMain, ...training(run, 1), ...flags]
    const { terminal } = startOnTerminal(['sh', '-c', pipeline, 'sh', ...argv], { cwd: folder })
    await terminal.ended
    expect(readFileSync(join(folder, 'code'), 'utf8')).toBe('0\n')
    await expectCompleted(run, 1)
  })

  it('saves its step when Ctrl-C ends the reader of its output, too', async () => {
    const run = join(temporaryFolder(), 'run')
    const argv = [process.execPath, builtMain, ...training(run, 1), '--output', 'ndjson']
    const started = startOnTerminal(['sh', '-c', '"$@" 2>&1 | tee', 'sh', ...argv], { cwd })
    await started.terminal.printed(/"type":"step"/)
    started.terminal.press(CTRL_C)
    await started.terminal.ended
    await nothingIsLeft(started)
    await expectSaved(run, 1)
  })

  // Ctrl-Z reaches no rank, however many there are
  it.each([
    ['Ctrl-Z', 1],
    ['SIGSTOP to all its processes', 2],
  ])('continues after a suspension longer than hangSeconds by %s, with %i ranks', async (how, ranks) => {
    const run = join(temporaryFolder(), 'run')
    const argv = training(run, ranks, `runtime.hangSeconds=${HANG_SECONDS}`)
    const started = startOnTerminal([process.execPath, builtMain, ...argv], { cwd })
    const { terminal } = started
    await terminal.printed(STEP_PRINTED)
    const stopped = started.processes()
    if (how === 'Ctrl-Z') terminal.press(CTRL_Z)
    else signalAll(stopped, 'SIGSTOP')
    await terminal.suspended()
    // the time itself is what is tested
    const enough = performance.now() + (HANG_SECONDS + 2) * 1000
    await until(() => performance.now() > enough)
    if (how !== 'Ctrl-Z') signalAll(stopped, 'SIGCONT')
    terminal.foreground()
    expect(await terminal.ended, terminal.text).toEqual({ code: 0, signal: null })
    await expectCompleted(run, ranks)
  })

  it.each([
    ['Ctrl-C', 2, 130],
    ['SIGTERM', 1, 143],
  ])('ends at once at a second request by %s, with %i ranks', async (second, ranks, code) => {
    const run = join(temporaryFolder(), 'run')
    const started = startOnTerminal([process.execPath, builtMain, ...training(run, ranks)], { cwd })
    const { terminal } = started
    await terminal.printed(STEP_PRINTED)
    // a step that does not end
    signalAll(started.ranks(), 'SIGSTOP')
    terminal.press(CTRL_C)
    await terminal.printed(/stopping/)
    // what follows within a moment is taken for the first request, passed on by a wrapper
    const again = setInterval(() => {
      if (second === 'Ctrl-C') terminal.press(CTRL_C)
      else signalAll([{ pid: terminal.pid }], 'SIGTERM')
    }, 200)
    onTestFinished(() => clearInterval(again))
    await terminal.ended
    clearInterval(again)
    expect(await terminal.ended, terminal.text).toEqual({ code, signal: null })
    await nothingIsLeft(started)
  })
})

it('a script of `launch` decides after Ctrl-C how it ends', async () => {
  const out = join(temporaryFolder(), 'run')
  const script = join(packageRoot, 'test/fixtures/scripts/saves_when_told.py')
  const argv = ['launch', '--processes', '2', '--python', resolvePython(), '--out', out, '--', script]
  const started = startOnTerminal([process.execPath, builtMain, ...argv], { cwd })
  const { terminal } = started
  await terminal.printed(/ready.*ready/s)
  terminal.press(CTRL_C)
  expect(await terminal.ended, terminal.text).toEqual({ code: 75, signal: null })
  expect(terminal.text.match(/\[[01]\] saved/g)?.sort()).toEqual(['[0] saved', '[1] saved'])
  expect(exitOf(out)).toMatchObject({ outcome: 'stopped', exitCode: 75 })
  await nothingIsLeft(started)
})

it('predict drops its case after Ctrl-C, and the same command completes the masks', async () => {
  const folder = temporaryFolder()
  const phantoms = ['phantom', '--out', join(folder, 'scans'), '--cases', '4', '--size', '64', '--seed', '5']
  expect(await runCli(phantoms)).toMatchObject({ code: 0 })
  runPython('test/fixtures/make_segmentor.py', folder)
  const [images, out] = [join(folder, 'scans', 'imagesTr'), join(folder, 'masks')]
  const predict = ['predict', '--checkpoint', join(folder, 'a.pt'), '--images', images, '--out', out]
  predict.push('--threads', '1', '--overlap', '0.5')
  const started = startOnTerminal([process.execPath, builtMain, ...predict], { cwd })
  const { terminal } = started
  await terminal.printed(/1\/4/)
  terminal.press(CTRL_C)
  expect(await terminal.ended, terminal.text).toEqual({ code: 75, signal: null })
  await nothingIsLeft(started)
  const masks = () => readdirSync(out).filter((name) => name.includes('.nii.gz'))
  const kept = masks()
  for (const name of kept) expect((await readNifti(join(out, name))).shape, name).toEqual([64, 64, 64])
  const again = await runCli(predict)
  expect(again.code, again.stderr).toBe(0)
  expect(masks()).toHaveLength(4)
  expect(masks()).toEqual(expect.arrayContaining(kept))
})

it('evaluate ends with 130 after Ctrl-C and writes no result', async () => {
  const folder = temporaryFolder()
  const phantoms = ['phantom', '--out', join(folder, 'scans'), '--cases', '2', '--size', '64', '--seed', '5']
  expect(await runCli(phantoms)).toMatchObject({ code: 0 })
  const labels = join(folder, 'scans', 'labelsTr')
  const [masks, out] = [['--predictions', labels, '--labels', labels], join(folder, 'out')]
  const argv = ['evaluate', ...masks, '--profile', 'lesion', '--out', out]
  const started = startOnTerminal([process.execPath, builtMain, ...argv], { cwd })
  await until(() => started.processes().some(({ command }) => command.includes('freetumor_runtime')))
  started.terminal.press(CTRL_C)
  expect(await started.terminal.ended, started.terminal.text).toEqual({ code: 130, signal: null })
  await nothingIsLeft(started)
  expect(existsSync(join(out, 'summary.json'))).toBe(false)
})

it('Ctrl-C ends a program without a signal handler, and its training ends with it', async () => {
  const folder = temporaryFolder()
  const run = join(folder, 'run')
  const library = pathToFileURL(join(packageRoot, 'dist/index.js')).href
  const program = `
    import { loadConfig, train } from ${JSON.stringify(library)}
    for await (const event of train(await loadConfig(${JSON.stringify(config)}), { out: ${JSON.stringify(run)} }))
      if (event.type === 'step') console.log(event.step)`
  writeFileSync(join(folder, 'program.mjs'), program)
  const started = startOnTerminal([process.execPath, join(folder, 'program.mjs')], { cwd })
  await started.terminal.printed(/^3\r?$/m)
  started.terminal.press(CTRL_C)
  expect(await started.terminal.ended, started.terminal.text).toEqual({ code: null, signal: 'SIGINT' })
  await nothingIsLeft(started)
  await expectResumes(run, 1)
})

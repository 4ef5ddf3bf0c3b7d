/**
 * Measure whether synthetic tumors help, with an honest verdict: scripts/experiments/few-labels. The experiment uses
 * only the library. A complete stage does not run again, so the same command resumes a stopped experiment.
 */
import { access, readdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { readNifti } from '../../dist/volume/nifti.js'
import { makeFolder } from '../../dist/whole-file.js'
import { type CellResult, readJson, runCell } from './cell.js'
import { checkGenerator } from './checks.js'
import { refuseAnotherPlan, runMain, Usage, wholeNumbers } from './command-line.js'
import { CpuClock } from './cpu-clock.js'
import { compareArms, conclude, judgedOf } from './judgement.js'
import { writePage } from './page.js'
import { ARMS, type Arm, cellName, cellsOf, DEFAULT_PLAN, FULL_PLAN, type Plan } from './plan.js'
import { tumorVolumesMl } from './real-tumors.js'
import { type OracleScore, thresholdOracle } from './threshold-oracle.js'
import { labelledFiles, makeWorld, type World } from './world.js'

const HELP = `Do synthetic tumors help where labels are few? Trains all arms on phantoms and writes a page.

  scripts/experiments/few-labels --out .freetumor/few-labels
  scripts/experiments/few-labels --full --out .freetumor/few-labels-full
  scripts/experiments/few-labels --real-hosts ../shared/data      with the real abdomen scan there among the hosts

  --out DIR            folder of all results; the same command resumes (default .freetumor/few-labels)
  --full               8 labelled cases too, all arms, more steps
  --seeds A,B,...      other seeds
  --labelled N,M,...   other numbers of labelled cases
  --arms NAME,...      of ${ARMS.join(', ')}
  --steps A,B,C        of the start, the generator and each arm
  --segmentor resenc   a small ResEnc instead of the small U-Net
  --test N,M           held-out cases with and without tumors; --test-seed S draws others
  --checks             only the checks of the GAN, of the cells that are there, and the page
  --page               only makes results.json and index.html of what is there
`

/** Without one of these there is no verdict. */
const JUDGED_ARMS: readonly Arm[] = ['realOnly', 'handCrafted', 'trained']

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: '.freetumor/few-labels' },
      full: { type: 'boolean', default: false },
      seeds: { type: 'string' },
      labelled: { type: 'string' },
      arms: { type: 'string' },
      steps: { type: 'string' },
      test: { type: 'string' },
      'test-seed': { type: 'string' },
      'real-hosts': { type: 'string' },
      segmentor: { type: 'string' },
      page: { type: 'boolean', default: false },
      checks: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(HELP)
  const out = resolve(values.out)
  const plan = planOf(values)
  await makeFolder(out)
  await refuseAnotherPlan(out, plan)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(signal)))
  const clock = new CpuClock().start()
  const say = (text: string): void =>
    void process.stderr.write(
      `${new Date().toISOString().slice(11, 19)} ${clock.seconds().toFixed(0)} s  ${text}\n`,
    )
  say('data')
  const world = await makeWorld(out, plan, await realData(values['real-hosts'], say))
  const cells: CellResult[] = []
  for (const cell of cellsOf(plan)) {
    if (values.page || values.checks) {
      const done = await readJson<CellResult>(join(out, 'cells', cellName(cell), 'cell.json'))
      if (done) cells.push(done)
      continue
    }
    const files = await labelledFiles(world, cell.seed, cell.labelled)
    const facts = { tumorVolumesMl: await tumorVolumesMl(files.map(({ label }) => label)) }
    cells.push(await runCell(out, cell, plan, world, facts, { clock, signal: stop.signal, say }))
    await conclusion(out, plan, cells, world, clock)
  }
  if (!values.page && plan.arms.includes('trained'))
    await checkGenerator(out, plan, world, { clock, signal: stop.signal, say })
  const page = await conclusion(out, plan, cells, world, clock)
  clock.stop()
  process.stdout.write(`${page}\n`)
}

/** Write results and page of the complete cells. */
async function conclusion(
  out: string,
  plan: Plan,
  cells: readonly CellResult[],
  world: World,
  clock: CpuClock,
): Promise<string> {
  const comparisons = compareArms(cells, plan)
  const judged = judgedOf(comparisons)
  const results = {
    plan,
    made: new Date().toISOString(),
    cellsDone: cells.length,
    cells: cellsOf(plan).length,
    cpuSeconds: cells.flatMap((cell) => Object.values(cell.cpuSeconds)).reduce((sum, s) => sum + s, 0),
    cpuSecondsOfThisStart: clock.seconds(),
    oracle: await oracleOf(out, world),
    comparisons,
    conclusion: judged && JUDGED_ARMS.every((arm) => plan.arms.includes(arm)) ? conclude(judged) : null,
  }
  await writeFile(join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  return await writePage(out, plan, cells, results)
}

/** Score the threshold on the held-out cases with tumors; it takes half a minute, so the result is saved. */
async function oracleOf(out: string, world: World): Promise<OracleScore> {
  const file = join(out, 'oracle.json')
  const known = await readJson<OracleScore>(file)
  if (known) return known
  const names = (await readdir(world.testImages)).sort()
  const cases = await Promise.all(
    names.map(async (name) => {
      const image = await readNifti(join(world.testImages, name))
      const label = await readNifti(join(world.testLabels, name))
      return { image: image.data, label: label.data, shape: image.shape }
    }),
  )
  const score = thresholdOracle(cases, [{ label: 1, tumorLabel: 2 }])
  await writeFile(file, JSON.stringify(score))
  return score
}

function planOf(values: {
  full: boolean
  seeds?: string | undefined
  labelled?: string | undefined
  arms?: string | undefined
  steps?: string | undefined
  test?: string | undefined
  'test-seed'?: string | undefined
  'real-hosts'?: string | undefined
  segmentor?: string | undefined
}): Plan {
  const base = values.full ? FULL_PLAN : DEFAULT_PLAN
  const steps = numbers('steps', values.steps, 3)
  const test = numbers('test', values.test, 2)
  const arms = values.arms?.split(',') ?? base.arms
  const odd = arms.find((arm) => !(ARMS as readonly string[]).includes(arm))
  if (odd !== undefined) throw new Usage(`--arms: no arm ${odd}; arms are ${ARMS.join(', ')}`)
  if (values.segmentor !== undefined && values.segmentor !== 'resenc')
    throw new Usage(`--segmentor: wrong kind (expected resenc, found ${values.segmentor})`)
  return {
    ...base,
    seeds: numbers('seeds', values.seeds) ?? base.seeds,
    labelled: numbers('labelled', values.labelled) ?? base.labelled,
    arms: ARMS.filter((arm) => arms.includes(arm)) as Arm[],
    steps: steps ? { start: steps[0]!, generator: steps[1]!, arm: steps[2]! } : base.steps,
    test: test ? { sick: test[0]!, healthy: test[1]! } : base.test,
    testSeed: numbers('test-seed', values['test-seed'], 1)?.[0] ?? base.testSeed,
    ...(values['real-hosts'] === undefined ? {} : { realHosts: true }),
    ...(values.segmentor === undefined ? {} : { segmentor: values.segmentor }),
  }
}

function numbers(flag: string, text: string | undefined, count?: number): number[] | null {
  return text === undefined ? null : wholeNumbers(flag, text, count)
}

async function realData(path: string | undefined, say: (text: string) => void): Promise<string | null> {
  if (path === undefined) return null
  const there = await access(join(path, 'totalsegmentator', 'example_ct.nii.gz')).then(
    () => true,
    () => false,
  )
  if (there) return path
  say(`${path} holds no totalsegmentator/example_ct.nii.gz: using phantoms alone`)
  return null
}

await runMain(main)

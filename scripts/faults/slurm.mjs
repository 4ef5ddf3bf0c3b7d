#!/usr/bin/env node
/**
 * Check trainings as jobs of a real Slurm with two nodes on this machine (root, packages slurm-wlm and munge): preemption,
 * time limit, a lost node, a lost slurmd, a second trainer, scancel, an error of the configuration, and the time that a
 * submission adds.
 *
 *     npm run build && node scripts/faults/slurm.mjs [--only preempt,limit,node,slurmd,second,cancel,config,overhead] [--ranks 2]
 *
 * Every training has the items of one uninterrupted training, and each loss must be bit-identical to it. Prints a line of JSON
 * for each part; exit code 1 if one fails.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { cli, python } from './campaign.mjs'
import { startSlurm, whatSlurmLacks } from './slurm-cluster.mjs'

const PARTS = ['preempt', 'limit', 'node', 'slurmd', 'second', 'cancel', 'config', 'overhead']
const { values } = parseArgs({
  options: { only: { type: 'string', default: PARTS.join(',') }, ranks: { type: 'string', default: '2' } },
})
const GRACE_SECONDS = 60
const KILL_WAIT_SECONDS = 30
const INTERVAL = 10
const STEPS = 60
/** Longer than Slurm needs to find that a node is lost. */
const LONG_STEPS = 100_000

const lacking = whatSlurmLacks()
if (lacking !== null) {
  process.stderr.write(`no Slurm can be started here: ${lacking} is missing\n`)
  process.exit(4)
}
const parted = values.only.split(',')
// the job of a lost slurmd starts again on other nodes
const nodes = parted.includes('slurmd') ? 3 : 2
const cluster = await startSlurm({ nodes, graceSeconds: GRACE_SECONDS, killWaitSeconds: KILL_WAIT_SECONDS })
const env = {
  ...cluster.env,
  FREETUMOR_PYTHON: python,
}
let failed = false
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => void cluster.close().then(() => process.exit(1)))

const settings = (steps, more = []) => [
  '--set',
  `training.steps=${steps}`,
  `training.checkpointEverySteps=${INTERVAL}`,
  'sampling.patchVoxels=[24,24,24]',
  'sampling.cropsPerVolume=1',
  'sampling.itemsPerStep=4',
  'sampling.workers=1',
  `runtime.processesPerNode=${values.ranks}`,
  'runtime.restarts.max=1',
  'data.phantoms.sizeVoxels=48',
  'data.phantoms.labelledCases=3',
  `data.root=${join(cluster.folder, 'data')}`,
  `prepare.cache=${join(cluster.folder, 'cache')}`,
  'report.pictures=0',
  'cluster.nodes=2',
  'cluster.gpusPerNode=0',
  'cluster.check=false',
  ...more,
]
const freetumor = (...argv) => {
  const done = spawnSync(process.execPath, [cli, ...argv], { env, cwd: cluster.folder, encoding: 'utf8' })
  return { code: done.status, out: done.stdout, err: done.stderr }
}
const submit = (name, steps, more) => {
  const done = freetumor(
    'submit',
    'debug-baseline',
    '--out',
    join(cluster.folder, name),
    '--output',
    'json',
    ...settings(steps, more),
  )
  if (done.code !== 0) throw new Error(done.err)
  return JSON.parse(done.out)
}
const linesOf = (path) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line))
    : []
const events = (run) => linesOf(join(run.directory, 'events.jsonl'))
const starts = (run) => linesOf(join(run.directory, 'submission/history.jsonl'))
const exitOf = (run) => {
  const path = join(run.directory, 'exit.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null
}
const lastStep = (run) => events(run).findLast(({ type }) => type === 'step')?.step ?? -1
const losses = (run) => events(run).flatMap((one) => (one.type === 'step' ? [[one.step, one.losses]] : []))

async function until(what, condition, seconds = 400) {
  const started = Date.now()
  while (!(await condition())) {
    if (Date.now() - started > seconds * 1000) throw new Error(`waited ${seconds} s for: ${what}`)
    await wait(200)
  }
  return (Date.now() - started) / 1000
}
const state = async (run) => (await cluster.job(run.id))?.JobState ?? 'UNKNOWN'
const restarts = async (run) => Number((await cluster.job(run.id))?.Restarts ?? 0)
const ended = async (run) => /COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL/.test(await state(run))
/** Wait until this start has trained to a step. */
const trained = (run, step) => until(`step ${step}`, () => lastStep(run) >= step)

let reference = null
/** The losses of an uninterrupted job with the same ranks. */
async function uninterrupted() {
  if (reference !== null) return reference
  const run = submit('uninterrupted', STEPS)
  await until('the uninterrupted training', () => ended(run))
  reference = losses(run)
  if (reference.length !== STEPS) throw new Error(`the uninterrupted training has ${reference.length} steps`)
  return reference
}
const identical = async (run) => JSON.stringify(losses(run)) === JSON.stringify(await uninterrupted())
/** Compare the losses of a run with those of an uninterrupted job of the same settings, which is stopped after as many steps. */
async function identicalToLong(run, steps, more) {
  const own = losses(run)
  const alone = submit(`${basename(run.directory)}-uninterrupted`, steps, more)
  await trained(alone, own.length)
  freetumor('runs', 'stop', alone.directory)
  await until('the end', () => ended(alone))
  return JSON.stringify(losses(alone).slice(0, own.length)) === JSON.stringify(own)
}
const owners = (run) =>
  events(run).flatMap((one) => (one.type === 'started' ? [{ run: one.run, step: one.step }] : []))

const parts = {
  /** Preempted three times by a job of a higher partition. */
  async preempt() {
    const run = submit('preempted', STEPS)
    const lost = []
    const seconds = []
    for (let time = 0; time < 3; time++) {
      await trained(run, 12 + time * 16)
      await cluster.run('sbatch', [
        '-p',
        'high',
        '-N2',
        '--exclusive',
        '--wrap',
        'sleep 1',
        '-o',
        '/dev/null',
      ])
      seconds.push(await until('the requeue', async () => (await restarts(run)) > time))
      const reached = exitOf(run).step
      // the log has the steps before the stop: they are the saved ones
      lost.push(lastStep(run) + 1 - reached)
      await until('the next start', async () => (await state(run)) === 'RUNNING')
    }
    await until('the end', () => ended(run))
    return {
      ok: (await state(run)) === 'COMPLETED' && lost.every((one) => one === 0) && (await identical(run)),
      graceSeconds: GRACE_SECONDS,
      savedAndRequeuedWithinSeconds: seconds,
      stepsLost: lost,
      starts: starts(run),
      identical: await identical(run),
    }
  },
  /** The time limit of 3 minutes is reached once; S = 45 s before it. */
  async limit() {
    const more = [
      'cluster.timeHours=0.05',
      'cluster.slurm.stopSeconds=45',
      'training.validateEverySteps=null',
      'training.validateEveryEpochs=null',
    ]
    const run = submit('limited', LONG_STEPS, more)
    await until('the requeue', async () => (await restarts(run)) > 0, 300)
    const { step, reason } = exitOf(run)
    await until('the next start', async () => (await state(run)) === 'RUNNING')
    await trained(run, step + 20)
    const stopped = freetumor('runs', 'stop', run.directory, '--output', 'json')
    await until('the stop', () => ended(run))
    const steps = losses(run).length
    // without a time limit
    const same = await identicalToLong(run, LONG_STEPS, more.slice(2))
    return {
      ok:
        same &&
        starts(run)[0]?.requeued === true &&
        starts(run).at(-1)?.requeued === false &&
        owners(run).length === 2 &&
        owners(run)[1].step === step,
      identical: same,
      stopSeconds: 45,
      savedStep: step,
      reason,
      steps,
      stop: stopped.code,
      starts: starts(run),
    }
  },
  /** All processes of node n2 are killed at once. */
  async node() {
    const run = submit('node-lost', STEPS)
    await trained(run, 23)
    await cluster.killNode('n2')
    await until('the requeue', async () => (await restarts(run)) > 0, 200)
    cluster.startNode('n2')
    await until('the end', () => ended(run), 600)
    return {
      ok: (await state(run)) === 'COMPLETED' && (await identical(run)),
      identical: await identical(run),
      restarts: await restarts(run),
    }
  },
  /**
   * Only slurmd of the first node is killed: the ranks of node 0 live on and hold the lock of the run, while Slurm starts the
   * job on the two other nodes.
   */
  async slurmd() {
    const run = submit('slurmd-lost', LONG_STEPS)
    await trained(run, 13)
    await cluster.killSlurmd('n1')
    await until('the requeue', async () => (await restarts(run)) > 0, 300)
    await until('the second start', async () => (await state(run)) === 'RUNNING')
    const step = lastStep(run)
    await trained(run, step + 20)
    freetumor('runs', 'stop', run.directory)
    await until('the end', () => ended(run), 600)
    const same = await identicalToLong(run, LONG_STEPS)
    return {
      ok: same && owners(run).length >= 2,
      identical: same,
      steps: losses(run).length,
      owners: owners(run),
      restarts: await restarts(run),
      starts: starts(run),
    }
  },
  /**
   * Only slurmd of the only node is killed: the whole training continues. The second start of the job must wait for it, and a
   * trainer that does not wait must be refused, until the first training has ended.
   */
  async second() {
    const one = ['cluster.nodes=1']
    const run = submit('second-trainer', LONG_STEPS, one)
    await trained(run, 13)
    const node = (await cluster.job(run.id)).NodeList
    await cluster.killSlurmd(node)
    await until('the requeue', async () => (await restarts(run)) > 0, 300)
    await until('the second start', async () => (await state(run)) === 'RUNNING')
    const log = join(run.directory, 'logs', `slurm-${run.id}`, 'restart-1/work.node-0.log')
    const refusal = /is being trained by process \d+ on host/
    await until('the second start waits', () => existsSync(log) && refusal.test(readFileSync(log, 'utf8')))
    const before = lastStep(run)
    const direct = freetumor('train', '--resume', run.directory)
    await trained(run, before + 20)
    const during = owners(run)
    // ends the first training; the second start then resumes
    freetumor('runs', 'stop', run.directory)
    await until('the second training', () => owners(run).length > 1)
    const step = owners(run)[1].step
    await trained(run, step + 20)
    freetumor('runs', 'stop', run.directory)
    await until('the end', () => ended(run), 600)
    const same = await identicalToLong(run, LONG_STEPS, one)
    cluster.startNode(node)
    return {
      ok: same && during.length === 1 && direct.code === 2 && refusal.test(direct.err),
      identical: same,
      lostNode: node,
      waited: readFileSync(log, 'utf8')
        .split('\n')
        .find((line) => refusal.test(line)),
      direct: { code: direct.code, message: direct.err.split('\n')[0] },
      stepsOfTheFirstWhileTheSecondWaited: step - before,
      owners: owners(run),
      steps: losses(run).length,
      starts: starts(run),
    }
  },
  /** scancel: saved within KillWait, no requeue. */
  async cancel() {
    const run = submit('cancelled', STEPS)
    await trained(run, 15)
    const started = Date.now()
    await cluster.run('scancel', [run.id])
    await until('the save', () => exitOf(run) !== null)
    const seconds = (Date.now() - started) / 1000
    await until('the end', async () => (await state(run)) === 'CANCELLED')
    await wait(3000)
    return {
      ok:
        exitOf(run).outcome === 'stopped' &&
        seconds < KILL_WAIT_SECONDS &&
        (await restarts(run)) === 0 &&
        (await state(run)) === 'CANCELLED',
      killWaitSeconds: KILL_WAIT_SECONDS,
      savedWithinSeconds: seconds,
      step: exitOf(run).step,
      lastStep: lastStep(run),
      state: await state(run),
    }
  },
  /** A configuration that its data contradict ends without a requeue. */
  async config() {
    const run = submit('wrong', STEPS, ['data.datasets.0.name=BTCV', 'data.phantoms=null'])
    await until('the end', () => ended(run))
    await wait(2000)
    return {
      ok: (await restarts(run)) === 0 && /^[23]$/.test(`${starts(run)[0]?.exitCode}`),
      starts: starts(run),
      state: await state(run),
    }
  },
  /** The time of ten submissions, compared with sbatch alone. */
  async overhead() {
    const seconds = []
    const alone = []
    for (let time = 0; time < 10; time++) {
      let started = performance.now()
      const run = submit(`overhead-${time}`, 10, ['cluster.slurm.extraLines=["#SBATCH --hold"]'])
      seconds.push((performance.now() - started) / 1000)
      await cluster.run('scancel', [run.id])
      started = performance.now()
      execFileSync('sbatch', ['--parsable', '--hold', '--wrap', 'true', '-o', '/dev/null'], {
        env,
        cwd: cluster.folder,
      })
      alone.push((performance.now() - started) / 1000)
    }
    const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]
    return { ok: true, submitSeconds: median(seconds), sbatchSeconds: median(alone) }
  },
}

try {
  for (const name of parted) {
    const started = Date.now()
    const found = await parts[name]().catch((error) => ({ ok: false, error: error.message }))
    if (!found.ok) failed = true
    process.stdout.write(
      `${JSON.stringify({ part: name, ...found, seconds: Math.round((Date.now() - started) / 1000) })}\n`,
    )
  }
} finally {
  await cluster.close()
}
process.exitCode = failed ? 1 : 0

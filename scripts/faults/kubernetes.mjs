#!/usr/bin/env node
/**
 * Check the manifests of a training on two nodes when its pods are preempted, lost and stopped. No cluster is needed: each
 * pod is the start script of the manifests as process 1 of its own PID namespace (root, unshare, nsenter), with the variables
 * that Kubeflow Trainer sets. This program obeys the podFailurePolicy of the manifests.
 *
 *     npm run build && node scripts/faults/kubernetes.mjs [--preemptions 3] [--losses 1] [--steps 60] [--seed 0]
 *
 * A preemption is the preStop hook, then SIGTERM to process 1. A lost node is SIGKILL to process 1, which ends its namespace. A
 * stop is `freetumor runs stop` outside of the pods, which shares only the run directory with them.
 * Prints JSON; exit code 1 if a loss differs from an undisturbed run, a step was repeated after a preemption, or a pod ended
 * with another code than docs/cluster.md states.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { cli, python, randomOf } from './campaign.mjs'

const { values } = parseArgs({
  options: {
    preemptions: { type: 'string', default: '3' },
    losses: { type: 'string', default: '1' },
    steps: { type: 'string', default: '60' },
    seed: { type: 'string', default: '0' },
  },
})
const steps = Number(values.steps)
const NODES = 2

// each pod has a /tmp of its own
const folder = mkdtempSync('/var/tmp/freetumor-kubernetes-')
mkdirSync(join(folder, 'bin'))
writeFileSync(join(folder, 'bin/freetumor'), `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`, {
  mode: 0o755,
})
const env = {
  ...process.env,
  FREETUMOR_PYTHON: python,
  PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
  NO_COLOR: '1',
}
const alive = new Set()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const random = randomOf(values.seed)

const strikes = [
  ...Array.from({ length: Number(values.preemptions) }, (_, at) => ({
    kind: 'preempt',
    node: 1 - (at % NODES),
  })),
  ...Array.from({ length: Number(values.losses) }, (_, at) => ({ kind: 'lose', node: 1 - (at % NODES) })),
]
const span = steps / (strikes.length + 1)
strikes.forEach((strike, at) => {
  strike.step = Math.floor((at + 0.5 + random() / 2) * span)
})

const reference = await run('undisturbed', [])
const disturbed = await run('disturbed', strikes)
// long enough that it cannot complete before the command is there
const stopped = await run('stopped', [{ kind: 'stop', node: 0, step: 10 }], { length: 100 * steps })
const wrong = await run('wrong', [], { edit: (text) => text.replace(/^training:$/m, 'trainings:') })

const differing = reference.losses.filter((loss, at) => loss !== disturbed.losses[at]).length
const preempted = disturbed.strikes.filter(({ kind }) => kind === 'preempt')
const repeated = preempted.reduce((sum, { savedStep, resumedAt }) => sum + Math.abs(savedStep - resumedAt), 0)
const ok =
  reference.outcome === 'complete' &&
  reference.losses.length === steps &&
  disturbed.outcome === 'complete' &&
  disturbed.losses.length === steps &&
  differing === 0 &&
  repeated === 0 &&
  disturbed.failures.length === 0 &&
  preempted.every(({ codes }) => codes.every((code) => code === 143)) &&
  stopped.outcome === 'failed by code 75' &&
  stopped.strikes[0].codes.includes(75) &&
  wrong.outcome === 'failed by code 2' &&
  wrong.starts.every((count) => count <= 1)
const brief = ({ losses, strikes, ...rest }) => ({
  ...rest,
  steps: losses.length,
  strikes: strikes.map(({ time, ...facts }) => facts),
})
console.log(
  JSON.stringify(
    {
      ok,
      differing,
      repeated,
      undisturbed: brief(reference),
      disturbed: brief(disturbed),
      stopped: brief(stopped),
      wrong: brief(wrong),
    },
    null,
    2,
  ),
)
process.exitCode = ok ? 0 : 1

/** Run the job as the Job controller does until it is complete or has failed. */
async function run(name, planned, { edit = (text) => text, length = steps } = {}) {
  const directory = join(folder, name)
  const { script, config, rules, backoffLimit } = manifests(directory, length)
  const start = join(folder, `${name}-start`)
  mkdirSync(start)
  writeFileSync(join(start, 'config.yaml'), edit(config))
  // the ConfigMap is not mounted at its place: this machine has no containers
  writeFileSync(join(start, 'start.sh'), script.replaceAll('/etc/freetumor', start))
  const port = await freePort()
  const pods = Array.from({ length: NODES }, () => null)
  const starts = pods.map(() => 0)
  const done = pods.map(() => false)
  const waiting = [...planned]
  const begun = performance.now()
  const failures = []
  let outcome = null
  let open = null

  while (outcome === null) {
    for (const node of pods.keys())
      if (pods[node] === null && !done[node]) {
        pods[node] = startPod(start, node, port, join(folder, `${name}-${node}.log`))
        starts[node]++
      }
    const [strike] = waiting
    if (open !== null) follow(open, directory, pods)
    if ((open === null || open.resumedAt !== undefined) && strike && newestStep(directory) >= strike.step) {
      waiting.shift()
      open = { ...strike, codes: [], at: newestStep(directory) }
      planned[planned.indexOf(strike)] = open
      hit(open, pods[strike.node], directory)
    }
    for (const [node, pod] of pods.entries()) {
      if (pod === null || pod.code === undefined) continue
      pods[node] = null
      if (open !== null && open.codes.length < NODES) open.codes.push(pod.code)
      if (pod.code === 0) {
        done[node] = true
        continue
      }
      const action = actionOf(rules, pod)
      if (action === 'FailJob') outcome = `failed by code ${pod.code}`
      else if (action === null) {
        const log = readFileSync(join(folder, `${name}-${node}.log`), 'utf8')
          .trimEnd()
          .split('\n')
        failures.push({ node, code: pod.code, lastLines: log.slice(-12) })
        if (failures.length > backoffLimit) outcome = 'failed by retries'
      }
    }
    if (done.every(Boolean)) outcome = 'complete'
    await wait(20)
  }
  for (const pod of pods) if (pod !== null) await endPod(pod)
  const seconds = Math.round((performance.now() - begun) / 1000)
  return { outcome, starts, failures, seconds, strikes: planned, losses: lossesOf(directory) }
}

/** Record the step at which a disturbed run continues. */
function follow(strike, directory, pods) {
  if (strike.resumedAt !== undefined || strike.kind === 'stop') return
  const ended = strike.kind === 'lose' ? strike.codes.length > 0 : strike.codes.length === NODES
  if (!ended || pods.some((pod) => pod === null)) return
  if (strike.savedStep === undefined && strike.kind === 'preempt')
    strike.savedStep = JSON.parse(readFileSync(join(directory, 'exit.json'), 'utf8')).step
  const events = eventsOf(directory)
  const again = events.findLastIndex(
    ({ type }) => type === 'started' || type === 'resumed' || type === 'restart',
  )
  const first = events.slice(again + 1).find(({ type }) => type === 'step')
  if (first && first.step >= (strike.savedStep ?? 0) && newestTime(events[again]) > strike.time)
    strike.resumedAt = first.step
}

function newestTime(event) {
  return event === undefined ? 0 : Date.parse(event.time)
}

function hit(strike, pod, directory) {
  strike.time = Date.now()
  const first = pidOfFirst(pod)
  const inPod = (...command) =>
    spawn('nsenter', ['-t', `${first}`, '-p', '-m', ...command], { env, stdio: 'ignore' })
  if (strike.kind === 'preempt') {
    const hook = inPod('/bin/sh', '-c', 'kill -TERM 1')
    hook.once('close', () => {
      try {
        process.kill(first, 'SIGTERM')
      } catch {
        // the pod has ended
      }
    })
  } else if (strike.kind === 'lose') {
    pod.isLost = true
    process.kill(first, 'SIGKILL')
  } else spawn('freetumor', ['runs', 'stop', directory], { env, stdio: 'ignore' })
}

/** Return the process of `unshare`'s child: process 1 of the pod. */
function pidOfFirst(pod) {
  const children = readFileSync(`/proc/${pod.child.pid}/task/${pod.child.pid}/children`, 'utf8')
  const first = /\d+/.exec(children)
  if (first === null) throw new Error(`pod ${pod.child.pid}: no process runs in it`)
  return Number(first[0])
}

function startPod(start, node, port, log) {
  const variables = {
    PET_NNODES: `${NODES}`,
    PET_NPROC_PER_NODE: '1',
    PET_NODE_RANK: `${node}`,
    PET_MASTER_ADDR: '127.0.0.1',
    PET_MASTER_PORT: `${port}`,
  }
  const container = `mount -t tmpfs tmpfs /tmp && exec /bin/sh ${start}/start.sh`
  const command = `unshare --pid --fork --mount --mount-proc --kill-child /bin/sh -c '${container}' >> ${log} 2>&1`
  const child = spawn('/bin/sh', ['-c', `exec ${command}`], {
    env: { ...env, ...variables },
    cwd: folder,
    stdio: 'ignore',
  })
  alive.add(child)
  const pod = { child, code: undefined, isLost: false }
  child.once('close', (code, signal) => {
    alive.delete(child)
    pod.code = code ?? (signal === 'SIGKILL' ? 137 : 1)
  })
  return pod
}

/** End a pod of a failed job: SIGTERM, then SIGKILL after the grace period. */
async function endPod(pod) {
  if (pod.code !== undefined) return
  try {
    process.kill(pidOfFirst(pod), 'SIGTERM')
  } catch {
    // it has just ended
  }
  for (let waited = 0; pod.code === undefined && waited < 120_000; waited += 50) await wait(50)
  if (pod.code === undefined) pod.child.kill('SIGKILL')
}

function actionOf(rules, { code, isLost }) {
  const matches = ({ onExitCodes, onPodConditions }) =>
    onExitCodes
      ? onExitCodes.values.includes(code)
      : isLost && onPodConditions.some(({ type }) => type === 'DisruptionTarget')
  return rules.find(matches)?.action ?? null
}

function manifests(directory, length) {
  const set = [
    `training.steps=${length}`,
    `data.root=${folder}/phantoms`,
    `prepare.cache=${folder}/cache`,
    `cluster.nodes=${NODES}`,
    'cluster.gpusPerNode=0',
    'cluster.image=freetumor:test',
    `cluster.mounts=[{source: runs, target: ${folder}}]`,
  ]
  const argv = [
    'submit',
    'debug-baseline',
    '--to',
    'kubernetes',
    '--dry-run',
    '--out',
    directory,
    '--set',
    ...set,
  ]
  const printed = spawnSync(process.execPath, [cli, ...argv], { env, encoding: 'utf8' })
  if (printed.status !== 0) throw new Error(printed.stderr)
  const [start, runtime] = parseAllDocuments(printed.stdout).map((document) => document.toJS())
  const job = runtime.spec.template.spec.replicatedJobs[0].template.spec
  return {
    script: start.data['start.sh'],
    config: start.data['config.yaml'],
    rules: job.podFailurePolicy.rules,
    backoffLimit: job.backoffLimit,
  }
}

function eventsOf(directory) {
  const file = join(directory, 'events.jsonl')
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line))
}

function newestStep(directory) {
  return eventsOf(directory).findLast(({ type }) => type === 'step')?.step ?? -1
}

/** Return the losses of each step; a repeated step counts as it was repeated. */
function lossesOf(directory) {
  const bySteps = new Map()
  for (const event of eventsOf(directory))
    if (event.type === 'step') bySteps.set(event.step, JSON.stringify(event.losses))
  return [...bySteps.values()]
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

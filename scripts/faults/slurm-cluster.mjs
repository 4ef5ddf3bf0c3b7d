/**
 * A real Slurm with several nodes on this machine, in a temporary folder, for tests and campaigns: munged, slurmctld and one
 * slurmd for each node. Every node has its own processes, /tmp and /dev/shm, as separate machines have, so that no socket or
 * temporary file is shared by mistake. Needs root, unshare, and Debian's packages slurm-wlm and munge.
 */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'

const PROGRAMS = ['slurmctld', 'slurmd', 'munged', 'unshare']
const run = promisify(execFile)

/** Return what this machine lacks for a Slurm of its own; null if nothing. */
export function whatSlurmLacks() {
  if (process.getuid?.() !== 0) return 'root'
  const path = (process.env.PATH ?? '').split(':').concat('/usr/sbin', '/sbin')
  const missing = PROGRAMS.filter((name) => !path.some((folder) => existsSync(join(folder, name))))
  if (missing.length > 0) return missing.join(', ')
  try {
    execFileSync('unshare', ['-m', '-p', '-f', 'true'], { stdio: 'ignore' })
    return null
  } catch {
    return 'the right to use namespaces'
  }
}

/**
 * Start a cluster. `close` ends all its processes and removes its folder.
 * @param {{nodes?: number, cpus?: number, graceSeconds?: number, killWaitSeconds?: number, downAfterSeconds?: number, extra?: string[]}} [options]
 */
export async function startSlurm(options = {}) {
  const { nodes = 2, cpus = 16, graceSeconds = 60, killWaitSeconds = 30, downAfterSeconds = 10 } = options
  // not below /tmp: each node mounts its own there
  const folder = mkdtempSync('/var/tmp/freetumor-slurm-')
  chmodSync(folder, 0o755)
  const [ctldPort, ...nodePorts] = await freePorts(nodes + 1)
  const socket = join(folder, 'munge.socket')
  const key = join(folder, 'munge.key')
  writeFileSync(key, randomBytes(1024), { mode: 0o400 })
  mkdirSync(join(folder, 'state'))
  const conf = join(folder, 'slurm.conf')
  const names = nodePorts.map((_, at) => `n${at + 1}`)
  const lines = [
    'ClusterName=trial',
    `SlurmctldHost=${hostname()}(127.0.0.1)`,
    `SlurmctldPort=${ctldPort}`,
    'AuthType=auth/munge',
    'CredType=cred/munge',
    // a requeued job waits until its credentials expire: 120 s by default, at least 5 s
    `AuthInfo=socket=${socket},cred_expire=5`,
    'SlurmUser=root',
    'SlurmdUser=root',
    `StateSaveLocation=${folder}/state`,
    `SlurmdSpoolDir=${folder}/spool.%n`,
    `SlurmctldPidFile=${folder}/slurmctld.pid`,
    `SlurmdPidFile=${folder}/slurmd.%n.pid`,
    `SlurmctldLogFile=${folder}/slurmctld.log`,
    `SlurmdLogFile=${folder}/slurmd.%n.log`,
    'ProctrackType=proctrack/pgid',
    'TaskPlugin=task/none',
    'JobAcctGatherType=jobacct_gather/none',
    'SwitchType=switch/none',
    'MpiDefault=none',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_Core',
    'SchedulerType=sched/backfill',
    // requeued jobs wait 2 s and the scheduler looks every second: sites wait longer
    'SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1',
    'PreemptType=preempt/partition_prio',
    'PreemptMode=REQUEUE',
    'JobRequeue=1',
    `KillWait=${killWaitSeconds}`,
    `SlurmdTimeout=${downAfterSeconds}`,
    'ReturnToService=2',
    'MinJobAge=300',
    // a machine that does other work at the same time answers late
    'MessageTimeout=100',
    'TCPTimeout=60',
    'BatchStartTimeout=120',
    // clusters on one machine share its ports, which follow from the ids of jobs
    `FirstJobId=${1 + Math.floor(Math.random() * 10_000)}`,
    'MaxArraySize=1001',
    // nodes may have more cores than this machine
    'SlurmdParameters=config_overrides',
    ...names.map(
      (name, at) =>
        `NodeName=${name} NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${nodePorts[at]} CPUs=${cpus} State=UNKNOWN`,
    ),
    `PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=${graceSeconds} State=UP`,
    'PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP',
    ...(options.extra ?? []),
  ]
  writeFileSync(conf, `${lines.join('\n')}\n`)
  const env = {
    ...process.env,
    SLURM_CONF: conf,
    PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
  }
  const children = new Set()
  const start = (program, args) => {
    const child = spawn(program, args, { env, stdio: 'ignore', cwd: folder })
    children.add(child)
    child.once('exit', () => children.delete(child))
    return child
  }
  const slurmds = new Map()
  /** Start a node: a process, mount and IPC namespace of its own; its end ends every process in it. */
  const startNode = (name) => {
    const script = [
      'mount --make-rprivate /',
      'mount -t tmpfs private /tmp',
      'mount -t tmpfs private /dev/shm',
      // the first process of the node reaps orphans, also when slurmd has been killed
      `slurmd -D -N ${name} & trap : TERM; while :; do wait; sleep 1; done`,
    ].join(' && ')
    slurmds.set(
      name,
      start('unshare', ['-m', '-p', '-i', '-f', '--kill-child', '--mount-proc', 'sh', '-c', script]),
    )
  }
  const stop = async (child) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
  const cluster = {
    folder,
    env,
    names,
    /** Run a command of Slurm and return its output. */
    async run(program, args = [], more = {}) {
      const { stdout } = await run(program, args, { env, cwd: folder, maxBuffer: 1 << 24, ...more })
      return stdout
    },
    /** Return the fields of `scontrol show job`; null when Slurm has forgotten the job. */
    async job(id) {
      const text = await cluster.run('scontrol', ['show', 'job', '-o', String(id)]).catch(() => null)
      return (
        text &&
        Object.fromEntries(
          text
            .trim()
            .split(/\s+/)
            .map((one) => one.split(/=(.*)/s).slice(0, 2)),
        )
      )
    },
    /** Kill every process of a node at once, as a power failure does. */
    killNode: (name) => stop(slurmds.get(name)),
    /** Kill only the slurmd of a node: its jobs live on. */
    async killSlurmd(name) {
      process.kill(slurmdOf(slurmds.get(name).pid, name), 'SIGKILL')
    },
    startNode,
    async close() {
      for (const child of [...children].reverse()) await stop(child)
      rmSync(folder, { recursive: true, force: true })
    },
  }
  try {
    start('munged', [
      '-F',
      '--force',
      `--socket=${socket}`,
      `--key-file=${key}`,
      `--pid-file=${folder}/munged.pid`,
      `--log-file=${folder}/munged.log`,
      `--seed-file=${folder}/munged.seed`,
    ])
    await until(() => existsSync(socket), 'munged')
    start('slurmctld', ['-D', '-f', conf])
    for (const name of names) startNode(name)
    await until(async () => {
      const states = await cluster.run('sinfo', ['-h', '-N', '-p', 'low', '-o', '%T']).catch(() => '')
      return (
        states
          .trim()
          .split('\n')
          .filter((state) => state === 'idle').length === nodes
      )
    }, `${nodes} idle nodes`)
    return cluster
  } catch (error) {
    const log = existsSync(join(folder, 'slurmctld.log'))
      ? logOf(cluster, 'slurmctld')
      : 'no log of slurmctld'
    await cluster.close()
    throw new Error(`${error.message}\n${log}`)
  }
}

/** Return the process id, outside the node, of the slurmd of a node. */
function slurmdOf(unshare, name) {
  const pids = execFileSync('ps', ['-eo', 'pid,ppid,args'], { encoding: 'utf8' }).split('\n').slice(1)
  const rows = pids.map((line) => line.trim().split(/\s+/))
  const below = (parent) =>
    rows.filter(([, ppid]) => ppid === String(parent)).flatMap((row) => [row, ...below(row[0])])
  const found = below(unshare).find(
    ([, , program, ...args]) => program.endsWith('slurmd') && args.includes(name),
  )
  if (found === undefined) throw new Error(`no slurmd of ${name} is running`)
  return Number(found[0])
}

async function until(condition, what) {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (await condition()) return
    await wait(100)
  }
  throw new Error(`Slurm did not start: ${what}`)
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Return the end of a log of the cluster. */
export function logOf(cluster, name) {
  return readFileSync(join(cluster.folder, `${name}.log`), 'utf8')
    .split('\n')
    .slice(-40)
    .join('\n')
}

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { ClusterJob, ClusterWork } from '../../src/cluster/job.js'
import { startScript } from '../../src/cluster/start-script.js'
import { clusterSection } from '../../src/config/sections/cluster.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'

const PROGRAM = `
import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
const [folder, code, ...argv] = process.argv.slice(2)
if (argv[0] === 'doctor') process.exit(existsSync(folder + '/faulty') ? 4 : 0)
writeFileSync(folder + '/argv.json', JSON.stringify(argv))
if (code !== 'wait') process.exit(Number(code))
process.on('SIGTERM', () => appendFileSync(folder + '/signals', 'TERM\\n'))
process.on('SIGUSR1', () => process.exit(75))
setInterval(() => {}, 1000)
writeFileSync(folder + '/ready', process.pid + '\\n')
`

interface Start {
  /** Exit code of freetumor; `wait`: 75 after SIGUSR1. */
  readonly code: number | 'wait'
  readonly work?: ClusterWork
  readonly nodes?: number
  readonly directory?: string
  readonly env?: Readonly<Record<string, string>>
  /** Whether the check of the node fails. */
  readonly isFaulty?: boolean
}

const TRAINING: ClusterWork = { kind: 'training', config: '/etc/freetumor/config.yaml' }

/** Run the script as a container does, with a program in place of freetumor. */
function start({ code, work = TRAINING, nodes = 1, env = {}, ...given }: Start) {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'program.mjs'), PROGRAM)
  // a name service that answers the third question, and a sleep that takes no time
  standIn(folder, 'getent', `echo "$2" >> '${folder}/names'; [ "$(wc -l < '${folder}/names')" -eq 3 ]`)
  standIn(folder, 'sleep', 'exit 0')
  const { directory = folder, isFaulty = false } = given
  if (isFaulty) writeFileSync(join(folder, 'faulty'), '')
  const job: ClusterJob = {
    name: 'a',
    directory,
    workingDirectory: folder,
    work,
    nodes,
    node: { ranks: 1, gpus: 0, cpus: 1, memoryGB: null },
    stopSeconds: 30,
    program: [process.execPath, join(folder, 'program.mjs'), folder, `${code}`],
    python: null,
    cluster: clusterSection.parse({ image: 'freetumor:0.2.0', mounts: [{ source: 'runs', target: '/' }] }),
  }
  writeFileSync(join(folder, 'start.sh'), startScript(job, 'trainjob/a'))
  const child: ChildProcess = spawn('/bin/sh', [join(folder, 'start.sh')], {
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}`, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const argv = (): string[] => JSON.parse(readFileSync(join(folder, 'argv.json'), 'utf8'))
  /** Return the process of the program once it handles signals. */
  const running = async (): Promise<number> => {
    // a file without its line feed is not yet written, and a signal to process 0 would reach all processes of the tests
    const ready = join(folder, 'ready')
    await until(() => existsSync(ready) && readFileSync(ready, 'utf8').endsWith('\n'))
    const pid = Number(readFileSync(ready, 'utf8'))
    onTestFinished(() => {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it has ended
      }
    })
    return pid
  }
  return { child, ended, argv, running, folder, signals: () => readFileSync(join(folder, 'signals'), 'utf8') }
}

function standIn(folder: string, name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

const node = (rank: number): Record<string, string> => ({
  PET_NODE_RANK: `${rank}`,
  PET_MASTER_ADDR: 'a-node-0-0.a',
  PET_MASTER_PORT: '29500',
})

describe('the start script of a container', () => {
  it.each([0, 1, 2, 3, 5, 6, 75, 127])('passes exit code %i on', async (code) => {
    expect(await start({ code }).ended).toBe(code)
  })

  it('starts a node of a training with the rank and the rendezvous of Trainer', async () => {
    const directory = join(temporaryFolder(), "it's $HOME")
    const run = start({ code: 0, nodes: 3, env: node(2), directory })
    expect(await run.ended).toBe(0)
    expect(run.argv().slice(0, 5)).toEqual([
      'train',
      '--config',
      '/etc/freetumor/config.yaml',
      '--out',
      directory,
    ])
    expect(run.argv().slice(-6)).toEqual([
      '--nodes',
      '3',
      '--node-rank',
      '2',
      '--rendezvous',
      'a-node-0-0.a:29500',
    ])
  })

  it('starts no work on a node that lacks something', async () => {
    const run = start({ code: 0, isFaulty: true })
    expect(await run.ended).toBe(4)
    expect(existsSync(join(run.folder, 'argv.json'))).toBe(false)
  })

  it('gives each start of a script a folder of its own', async () => {
    const run = start({ code: 0, work: { kind: 'script', argv: ['train.py'] }, env: node(0) })
    expect(await run.ended).toBe(0)
    expect(run.argv().slice(0, 2)).toEqual(['launch', '--out'])
    expect(run.argv()[2]!.slice(run.folder.length)).toMatch(/^\/launch\/\d{8}T\d{6}Z\/node-0$/)
  })

  it('prepares the folder for commands from other machines, for its user only', async () => {
    const run = start({ code: 0 })
    expect(await run.ended).toBe(0)
    expect(statSync(join(run.folder, 'requests')).mode & 0o777).toBe(0o700)
  })

  it('waits until the name of node 0 has an address', async () => {
    const run = start({ code: 0, nodes: 2, env: node(0) })
    expect(await run.ended).toBe(0)
    expect(readFileSync(join(run.folder, 'names'), 'utf8')).toBe('a-node-0-0.a\n'.repeat(3))
  })

  it('starts task 6 of an array with shard 7', async () => {
    const work = {
      kind: 'array',
      argv: ['prepare', '--config', 'a $(b).yaml'],
      shards: 20,
      slice: '1-20',
      offset: 0,
    } as const
    const run = start({ code: 0, work, env: { JOB_COMPLETION_INDEX: '6' } })
    expect(await run.ended).toBe(0)
    expect(run.argv()).toEqual(['prepare', '--config', 'a $(b).yaml', '--shard', '7/20'])
  })

  it('turns the stop of a preempted run into exit code 143, and passes on one signal only', async () => {
    const run = start({ code: 'wait' })
    const pid = await run.running()
    // the preStop hook and the kubelet
    run.child.kill('SIGTERM')
    await until(() => existsSync(join(run.folder, 'signals')))
    run.child.kill('SIGTERM')
    process.kill(pid, 'SIGUSR1')
    expect(await run.ended).toBe(143)
    expect(run.signals()).toBe('TERM\n')
  })

  it('keeps exit code 75 of a stop without a signal', async () => {
    const run = start({ code: 'wait' })
    process.kill(await run.running(), 'SIGUSR1')
    expect(await run.ended).toBe(75)
  })

  it.each([
    [1, 'exit.node-1.json', 'stop on node 0', 143],
    [0, 'exit.json', 'stop on node 1', 143],
    [0, 'exit.json', 'freetumor runs stop', 75],
  ])('ends node %i with the code of the stop in %s: %s, %i', async (rank, file, reason, code) => {
    const directory = join(temporaryFolder(), 'run with spaces')
    await mkdir(directory)
    writeFileSync(join(directory, file), `${JSON.stringify({ outcome: 'stopped', reason }, null, 2)}\n`)
    expect(await start({ code: 75, nodes: 2, env: node(rank), directory }).ended).toBe(code)
  })

  it('is one that every POSIX shell parses', () => {
    const work: ClusterWork = { kind: 'script', argv: ['train.py', '--note', 'it\'s "$(date)"'] }
    const run = start({ code: 0, work, nodes: 2, env: node(1) })
    for (const shell of ['sh', 'bash']) execFileSync(shell, ['-n', join(run.folder, 'start.sh')])
  })
})

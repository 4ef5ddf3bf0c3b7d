import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sbatchScript } from '../../src/cluster/slurm.js'
import { clusterSection } from '../../src/config/sections/cluster.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Run the script of a training as Slurm does, with stand-ins for its commands. */
function start(reason: string, restart = 0) {
  const folder = temporaryFolder()
  const run = join(folder, 'run with spaces')
  mkdirSync(join(run, 'submission'), { recursive: true })
  writeFileSync(join(run, 'exit.json'), `${JSON.stringify({ outcome: 'stopped', reason }, null, 2)}\n`)
  const standIn = (name: string, ...lines: string[]): void =>
    writeFileSync(join(folder, name), `#!/bin/bash\n${lines.join('\n')}\n`, { mode: 0o755 })
  standIn('srun', `SLURM_NODEID=0 bash -c "\${@: -1}"`)
  standIn(
    'scontrol',
    `[ "$1" != show ] || { echo "JobId=7 JobState=RUNNING Reason=None Restarts=${restart} End"; exit; }`,
    `echo "$*" >> '${folder}/orders'`,
  )
  standIn('freetumor', 'exit 75')
  const script = sbatchScript({
    name: 'a',
    directory: run,
    workingDirectory: folder,
    work: { kind: 'training', config: '/etc/freetumor/config.yaml' },
    nodes: 1,
    node: { ranks: 1, gpus: 0, cpus: 1, memoryGB: null },
    stopSeconds: 30,
    program: [join(folder, 'freetumor')],
    python: null,
    cluster: clusterSection.parse({ check: false, slurm: { maxRequeues: 3 } }),
  })
  const env = {
    ...process.env,
    PATH: `${folder}:${process.env.PATH}`,
    SLURM_JOB_ID: '7',
    SLURM_CPUS_PER_TASK: '1',
    SLURM_RESTART_COUNT: `${restart}`,
  }
  try {
    execFileSync('bash', ['-c', script], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  } catch {
    // it ends with the code of the training
  }
  const history: unknown = JSON.parse(readFileSync(join(run, 'submission/history.jsonl'), 'utf8'))
  const orders = existsSync(join(folder, 'orders')) ? readFileSync(join(folder, 'orders'), 'utf8') : ''
  return { history, orders }
}

describe('the script of a training that stops', () => {
  it.each([
    ['SIGUSR2', 0, true],
    // the signal of another node came first
    ['stop on node 1', 0, true],
    ['freetumor runs stop', 0, false],
    ['SIGUSR2', 3, false],
  ])('%s in start %i: requeue %s', (reason, restart, requeued) => {
    const { history, orders } = start(reason, restart)
    expect(history).toMatchObject({ job: '7', restart, exitCode: 75, requeued })
    expect(orders).toBe(requeued ? 'requeue 7\n' : '')
  })
})

import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { ClusterJob, ClusterWork } from '../../src/cluster/job.js'
import { nodeResources, ranksOnCluster, stopSecondsOf } from '../../src/cluster/job.js'
import { sbatchScript } from '../../src/cluster/slurm.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { ConfigInput, RunConfig } from '../../src/config/schema.js'

type Cluster = NonNullable<ConfigInput['cluster']>

function configWith(cluster: Cluster, runtime: ConfigInput['runtime'] = {}): RunConfig {
  const data = { datasets: [{ name: 'BTCV' }] }
  return resolveConfig({ job: 'baseline', data, sampling: { itemsPerStep: 2 }, runtime, cluster })
}

function jobOf(cluster: Cluster, more: Partial<ClusterJob> = {}): ClusterJob {
  const config = configWith(cluster)
  const section = config.cluster!
  return {
    name: 'abdomen-baseline',
    directory: '/scratch/runs/first',
    workingDirectory: '/home/user',
    work: { kind: 'training', config: '/scratch/runs/first/submission/config.yaml' },
    nodes: section.nodes ?? 1,
    node: nodeResources({ ...config, cluster: section }),
    stopSeconds: 120,
    program: ['/usr/bin/node', '/opt/freetumor/dist/cli/start.js'],
    python: '/opt/freetumor/.venv/bin/python',
    cluster: section,
    ...more,
  }
}

const directives = (script: string): string[] =>
  script.split('\n').filter((line) => line.startsWith('#SBATCH'))
/** What bash makes of a script, without running it. */
const refusedByBash = (script: string): string =>
  execFileSync('bash', ['-n'], { input: script, encoding: 'utf8' })

describe('sbatchScript', () => {
  it('is this script for a training on two nodes with GPUs', () => {
    const script = sbatchScript(
      jobOf({
        account: 'radiology',
        partition: 'gpu',
        nodes: 2,
        gpusPerNode: 4,
        cpusPerNode: 32,
        memoryGB: 200,
        timeHours: 24,
        modules: ['cuda/12.4'],
        environment: { NCCL_DEBUG: 'WARN' },
        slurm: { gpuType: 'a100', extraLines: ['#SBATCH --reservation=night', 'ulimit -c 0'] },
      }),
    )
    expect(refusedByBash(script)).toBe('')
    expect(script).toMatchSnapshot()
  })

  it('is this script for an array in a container', () => {
    const work: ClusterWork = {
      kind: 'array',
      argv: ['predict', '--images', 'my scans', '--out', 'masks'],
      shards: 20,
      slice: '1-20%5',
      offset: 0,
    }
    const script = sbatchScript(
      jobOf(
        {
          image: 'docker://lab/freetumor:1',
          mounts: [{ source: '/scratch', target: '/scratch' }],
          gpusPerNode: 1,
        },
        { work, program: ['freetumor'], python: null },
      ),
    )
    expect(refusedByBash(script)).toBe('')
    expect(script).toMatchSnapshot()
  })

  it('has no line of a value with a line break', () => {
    const evil = 'x\n#SBATCH --comment=mine'
    const jobs: (() => ClusterJob)[] = [
      () => jobOf({}, { name: evil }),
      () => jobOf({}, { directory: `/scratch/${evil}` }),
      () => jobOf({}, { workingDirectory: `/home/${evil}` }),
      () => jobOf({}, { work: { kind: 'script', argv: ['a.py', evil] } }),
      () => jobOf({}, { program: [evil] }),
      () => jobOf({}, { python: evil }),
    ]
    for (const job of jobs) expect(() => sbatchScript(job())).toThrow('expected one line of text')
    for (const cluster of [
      // in a script, 1e300 would be no number
      { memoryGB: 1e300 },
      { timeHours: 1e300 },
      { account: evil },
      { partition: evil },
      { image: evil },
      { modules: [evil] },
      { environment: { A: evil } },
      { slurm: { extraLines: [evil] } },
      { slurm: { gpuType: evil } },
      { mounts: [{ source: evil, target: '/a' }] },
    ])
      expect(() => configWith(cluster)).toThrow('cluster')
  })

  it('refuses an extra line that would take in the next one', () => {
    const scriptOf = (line: string): string => sbatchScript(jobOf({ slurm: { extraLines: [line] } }))
    for (const [line, missing] of [
      ['echo "it', '"'],
      ["echo 'it", "'"],
      ['echo `date', '`'],
      ['echo $(date', ')'],
      ['echo "$(basename "$PWD")', '"'],
      ['echo a \\', 'no \\'],
      ['#SBATCH --comment="night', '"'],
    ] as const)
      expect(() => scriptOf(line)).toThrow(
        `cluster.slurm.extraLines: incomplete line (expected ${missing} at its end, found ${line})`,
      )
    for (const line of [
      `echo "it's" 'a "b' \\"`,
      `x="$(basename '"a' "b")"`,
      `date # it's late`,
      `echo a#b "c # d"`,
      '#SBATCH --comment="a b"',
      'echo $x $((1 + 2))',
    ]) {
      expect(refusedByBash(scriptOf(line))).toBe('')
    }
  })

  it('gives quotes, spaces and percent signs to the shell as they are', () => {
    const directory = `/scratch/it's 100% "mine"`
    const script = sbatchScript(jobOf({ environment: { GREETING: `$(id) it's` } }, { directory }))
    expect(refusedByBash(script)).toBe('')
    const output = directives(script).find((line) => line.includes('--output'))
    expect(output).toBe(`#SBATCH --output="/scratch/it's 100%% \\"mine\\"/logs/slurm-%j.log"`)
    const lines = script.split('\n').filter((line) => /^(run=|export GREETING=)/.test(line))
    const shown = execFileSync('bash', ['-c', `${lines.join('\n')}\nprintf '%s|%s' "$run" "$GREETING"`], {
      encoding: 'utf8',
    })
    expect(shown).toBe(`${directory}|$(id) it's`)
  })

  it('passes only named variables of the shell on, and has no secret', () => {
    const script = sbatchScript(jobOf({ environmentFile: '/home/user/secrets.env' }))
    expect(directives(script)).toContain('#SBATCH --export=HOME,LANG,LOGNAME,PATH,SHELL,USER')
    expect(script).toContain('. /home/user/secrets.env')
    for (const name of ['HF_TOKEN', 'WANDB_API_KEY', 'my_password', 'AWS_SECRET_ACCESS_KEY', 'DB_PASS'])
      expect(() => configWith({ environment: { [name]: 'hidden' } })).toThrow(
        `config: cluster.environment: wrong value (expected no name of a secret; use cluster.environmentFile, found "${name}")`,
      )
  })

  it('refuses a URL with a password, and names that the script itself uses', () => {
    const proxy = (url: string) => configWith({ environment: { HTTPS_PROXY: url } })
    expect(() => proxy('http://me:hidden@proxy:3128')).toThrow(
      'expected no URL with a password; use cluster.environmentFile, found "http://me:***@proxy:3128"',
    )
    expect(proxy('http://proxy:3128').cluster?.environment).toEqual({ HTTPS_PROXY: 'http://proxy:3128' })
    for (const name of ['run', 'restart', 'logs', 'SLURM_JOB_ID'])
      expect(() => sbatchScript(jobOf({ environment: { [name]: 'x' } }))).toThrow(
        `cluster.environment.${name}: reserved name (the job script uses it)`,
      )
    expect(sbatchScript(jobOf({ environment: { SLURM_CPU_BIND: 'none', RUN: 'x' } }))).toContain(
      'export RUN=x',
    )
  })

  it('refuses a time limit that is shorter than the last save', () => {
    expect(() => sbatchScript(jobOf({ timeHours: 0.03 }))).toThrow(
      'cluster.timeHours: too short (expected more than 120 s for the last save, found 108 s)',
    )
    expect(() => sbatchScript(jobOf({ timeHours: 0.00001 }))).toThrow('found 0.036 s)')
    expect(directives(sbatchScript(jobOf({ timeHours: 30.5 })))).toContain('#SBATCH --time=30:30:00')
  })
})

describe('ranksOnCluster', () => {
  it('takes nodes and GPUs of the cluster before those of the run', () => {
    const ranks = (cluster: Cluster, runtime: ConfigInput['runtime']) => {
      const config = configWith(cluster, runtime)
      return ranksOnCluster({ runtime: config.runtime, cluster: config.cluster! })
    }
    expect(ranks({}, { processesPerNode: 2 })).toEqual({ nodes: 1, processesPerNode: 2 })
    expect(ranks({ nodes: 2, gpusPerNode: 1 }, {})).toEqual({ nodes: 2, processesPerNode: 1 })
    expect(ranks({ gpusPerNode: 0 }, { processesPerNode: 2 })).toEqual({ nodes: 1, processesPerNode: 2 })
  })
})

describe('stopSecondsOf', () => {
  it('is twice two steps and a save, and 30 s; 120 s without a measurement', () => {
    expect(stopSecondsOf(null, null)).toBe(120)
    expect(stopSecondsOf(null, { stepSeconds: 3, saveSeconds: 8 })).toBe(30 + 2 * (6 + 8))
    expect(stopSecondsOf(300, { stepSeconds: 3, saveSeconds: 8 })).toBe(300)
  })
})

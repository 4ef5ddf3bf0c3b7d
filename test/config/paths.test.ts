import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig, recordConfig } from '../../src/config/load.js'
import { absolutePaths, relativePaths } from '../../src/config/paths.js'
import { resolveConfig } from '../../src/config/resolve.js'
import { shippedNames } from '../../src/config/shipped.js'
import { runCli } from '../helpers/cli.js'
import { writeFiles } from '../helpers/data-set.js'
import { temporaryFolder } from '../helpers/temporary.js'

const RUN = `
job: segmentation
data: { root: scans, manifest: ../split.json, datasets: [{ name: Set, role: host, path: other }] }
prepare: { cache: cache }
simulation: { volumesMl: sizes.txt }
networks:
  segmentor: { initialWeights: start.pt }
  baseline: { trainFrom: baseline.yaml }
  generator: { checkpoint: { path: g.pt, use: generator } }
runtime: { python: python3 }
`

interface Printed {
  readonly data: {
    readonly root: string
    readonly manifest: string
    readonly datasets: readonly { readonly path: string }[]
  }
  readonly prepare: { readonly cache: string }
  readonly simulation: { readonly volumesMl: readonly number[] }
  readonly networks: {
    readonly segmentor: { readonly initialWeights: string }
    readonly baseline: { readonly trainFrom: string }
    readonly generator: { readonly checkpoint: { readonly path: string } }
  }
  readonly runtime: { readonly python: string }
}

/** A project with its configuration in a folder of its own. */
function project(): { readonly cwd: string; readonly folder: string; readonly file: string } {
  const cwd = temporaryFolder()
  writeFiles(cwd, { 'conf/run.yaml': RUN, 'conf/sizes.txt': '2.5\n', 'sizes-here.txt': '7\n' })
  return { cwd, folder: join(cwd, 'conf'), file: 'conf/run.yaml' }
}

async function print(cwd: string, ...argv: string[]): Promise<{ config: Printed; stderr: string }> {
  const { code, stdout, stderr } = await runCli(['config', 'print', ...argv, '--output', 'json'], { cwd })
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  return { config: JSON.parse(stdout) as Printed, stderr }
}

describe('a relative path', () => {
  it('in a file starts at the folder of the file', async () => {
    const { cwd, folder, file } = project()
    const { config, stderr } = await print(cwd, file)
    expect(stderr).toBe('')
    expect(config).toMatchObject({
      data: { root: join(folder, 'scans'), manifest: join(cwd, 'split.json'), datasets: [{ path: 'other' }] },
      prepare: { cache: join(folder, 'cache') },
      simulation: { volumesMl: [2.5] },
      networks: {
        segmentor: { initialWeights: join(folder, 'start.pt') },
        baseline: { trainFrom: join(folder, 'baseline.yaml') },
        generator: { checkpoint: { path: join(folder, 'g.pt'), use: 'generator' } },
      },
      runtime: { python: 'python3' },
    })
  })

  it('on the command line starts at the working directory', async () => {
    const { cwd, file } = project()
    const set = [
      'data.root=scans',
      'prepare.cache=cache',
      'simulation.volumesMl=sizes-here.txt',
      'networks.baseline.trainFrom=baseline.yaml',
      'networks.generator.checkpoint=g.pt',
    ]
    const { config, stderr } = await print(cwd, file, '--set', ...set)
    expect(stderr).toBe('')
    expect(config).toMatchObject({
      data: { root: join(cwd, 'scans') },
      prepare: { cache: join(cwd, 'cache') },
      simulation: { volumesMl: [7] },
      networks: {
        baseline: { trainFrom: join(cwd, 'baseline.yaml') },
        generator: { checkpoint: join(cwd, 'g.pt') },
      },
    })
  })

  it('that exists only where earlier versions looked is accepted with a note', async () => {
    const { cwd, folder, file } = project()
    mkdirSync(join(cwd, 'scans'))
    writeFileSync(join(folder, 'baseline.yaml'), '')
    const { config, stderr } = await print(cwd, file, '--set', 'networks.baseline.trainFrom=baseline.yaml')
    expect(config).toMatchObject({
      data: { root: join(cwd, 'scans') },
      networks: { baseline: { trainFrom: join(folder, 'baseline.yaml') } },
    })
    expect(stderr).toContain(
      `note: ${file}: data.root: scans exists in ${cwd}, not in ${folder}, where version 0.3 will look for it. Write ../scans\n`,
    )
    expect(stderr).toContain('networks.baseline.trainFrom: baseline.yaml exists in')
  })

  it('of a shipped configuration starts at the working directory', async () => {
    const cwd = temporaryFolder()
    const { config } = await print(cwd, 'debug-segmentation')
    expect(config.data.root).toBe(join(cwd, '.freetumor/phantoms'))
    expect(config.networks.baseline.trainFrom).toMatch(/configs\/debug-baseline\.yaml$/)
  })

  it('of a record of version 0.1 starts at the working directory', async () => {
    const cwd = temporaryFolder()
    writeFiles(cwd, {
      'runs/one/config.resolved.yaml': 'job: baseline\ndata: { root: scans, datasets: [{ name: BTCV }] }\n',
    })
    const { config } = await print(cwd, 'runs/one/config.resolved.yaml')
    expect(config.data.root).toBe(join(cwd, 'scans'))
  })
})

describe('recordConfig', () => {
  it('writes absolute paths, so that the record can be read from any folder', () => {
    const config = resolveConfig({ job: 'baseline', data: { datasets: [{ name: 'BTCV' }] } })
    expect(recordConfig(config)).toContain(`root: ${join(process.cwd(), 'data')}\n`)
    expect(recordConfig(config)).toContain(`cache: ${join(process.cwd(), '.freetumor/cache')}\n`)
  })

  it('is undone where the name of a run follows from its configuration', () => {
    const config = resolveConfig({
      job: 'baseline',
      data: { root: 'scans', datasets: [{ name: 'BTCV' }] },
      prepare: { cache: '/elsewhere' },
    })
    expect(relativePaths(absolutePaths(config))).toEqual(config)
  })
})

describe('a shipped configuration', () => {
  it('has a name that a file of the working directory replaces', async () => {
    expect(shippedNames()).toContain('debug-baseline')
    const cwd = temporaryFolder()
    writeFiles(cwd, { 'debug-baseline': 'job: baseline\nname: mine\ndata: { datasets: [{ name: BTCV }] }\n' })
    expect((await print(cwd, 'debug-baseline')).config).toMatchObject({ name: 'mine' })
    mkdirSync(join(cwd, 'debug-synthesis'))
    expect((await print(cwd, 'debug-synthesis')).config).toMatchObject({ name: 'debug-synthesis' })
  })

  it('is loaded by name, and named by trainFrom', async () => {
    expect((await loadConfig('abdomen-baseline')).name).toBe('abdomen-baseline')
    const file = join(temporaryFolder(), 'run.yaml')
    writeFileSync(file, `${RUN.replace('baseline.yaml', 'abdomen-baseline').replace('sizes.txt', '[1]')}`)
    const { networks } = await loadConfig(file)
    expect(networks.baseline!.trainFrom).toMatch(/configs\/abdomen-baseline\.yaml$/)
  })

  it('is listed where a name is unknown', async () => {
    await expect(loadConfig('debug-basline')).rejects.toMatchObject({
      exitCode: 2,
      hint: expect.stringContaining('debug-baseline'),
    })
  })
})

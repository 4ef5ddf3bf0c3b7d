import { existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { answerOf, errorAnswer, MAX_CHARACTERS, MAX_TEXT } from '../../src/mcp/answers.js'
import { toolsOf } from '../../src/mcp/server.js'
import type { Tool } from '../../src/mcp/tools.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { HIDDEN, HOSTILE } from './hostile-texts.js'

let top: string
let root: string
let outside: string
let tools: Map<string, Tool>

beforeEach(async () => {
  top = realpathSync(temporaryFolder())
  root = join(top, 'root')
  outside = join(top, 'outside')
  for (const folder of [root, outside]) mkdirSync(folder)
  writeFileSync(join(outside, 'secret.yaml'), 'job: baseline\nname: secret-name\ndata: { datasets: [] }\n')
  writeFileSync(join(outside, 'scan.nii.gz'), '')
  symlinkSync(outside, join(root, 'link'))
  const all = await toolsOf({ folders: [root], version: '0', control: true }, new Set())
  tools = new Map(all.map((one) => [one.name, one]))
})

/** Call a tool as the server does. */
async function call(name: string, given: object): Promise<unknown> {
  const { input, run } = tools.get(name)!
  return await run(input.parse(given), { signal: new AbortController().signal, progress: () => {} })
}

const config = (more: object) => ({
  job: 'baseline',
  data: { root: '.', datasets: [{ name: 'LiTS' }] },
  prepare: { cache: 'cache' },
  ...more,
})
const written = (name: string, content: object): string => {
  writeFileSync(join(root, name), JSON.stringify(content))
  return name
}

describe('the tools of an agent', () => {
  it('read and plan only, unless control is given', async () => {
    const reading = await toolsOf({ folders: [root], version: '0' }, new Set())
    expect(reading.filter(({ writes }) => writes)).toEqual([])
    const added = [...tools.keys()].filter((name) => !reading.some((one) => one.name === name))
    expect(added).toContain('start_training')
    expect([...tools.values()].filter(({ writes }) => writes).map(({ name }) => name)).toEqual(added)
  })

  it('refuse unknown keys, such as set', () => {
    for (const { input } of tools.values()) expect(input.safeParse({ set: 'a=b' }).success).toBe(false)
  })

  it('refuse a folder that does not exist, and a file', async () => {
    writeFileSync(join(root, 'file'), '')
    for (const name of ['no', 'file'])
      await expect(toolsOf({ folders: [join(root, name)], version: '0' }, new Set())).rejects.toThrow(
        `${name}: folder not found`,
      )
  })

  const ATTACKS = [
    '..',
    '../outside',
    '/etc',
    'link',
    'link/secret.yaml',
    './a/../../outside',
    'link/new.yaml',
  ]
  it.each(ATTACKS)('refuse the path %s in every tool', async (attack) => {
    for (const [name, { input }] of tools) {
      const keys = Object.keys((input as z.ZodObject).shape)
      const given: Record<string, unknown> = { key: 'training', command: 'pause', config: config({}) }
      for (const key of ['paths', 'folder', 'run', 'path', 'file', 'checkpoint', 'images', 'out'])
        given[key] = key === 'paths' ? [attack] : attack
      for (const key of ['predictions', 'labels']) given[key] = attack
      if (['check_config', 'plan_run', 'start_training'].includes(name)) given.config = `${attack}/x.yaml`
      const own = Object.fromEntries(Object.entries(given).filter(([key]) => keys.includes(key)))
      if (Object.keys(own).every((key) => key === 'key')) continue
      await expect(call(name, own), name).rejects.toThrow(/outside the folders of this server/)
    }
  })

  it('refuse lists whose files lie behind a symbolic link that leads out', async () => {
    const list = written('list.json', { training: [{ image: 'link/scan.nii.gz', label: 'label.nii.gz' }] })
    writeFileSync(join(root, 'list.txt'), 'link/scan.nii.gz\n')
    for (const path of [list, 'list.txt'])
      await expect(call('check_data', { paths: [path] }), path).rejects.toThrow('outside the folders')
  })

  it('accept lists whose files lie in another folder of the server', async () => {
    mkdirSync(join(root, 'lists'))
    written('lists/list.json', { training: [{ image: '../scans/a.nii', label: '../scans/b.nii' }] })
    const datasets = [{ name: 'x', path: 'lists/list.json', role: 'labelled', labelMap: 'region' }]
    const file = written('listed.json', config({ data: { root: '.', datasets } }))
    expect(await call('check_config', { config: file })).toMatchObject({
      findings: [{ message: expect.stringContaining('no file found') }],
    })
    // the same text names a file outside, if it starts at the root of the data
    mkdirSync(join(top, 'scans'))
    writeFileSync(join(top, 'scans/a.nii'), '')
    await expect(call('check_config', { config: file })).rejects.toThrow('outside the folders')
  })

  it('refuse folders with a symbolic link that leads out, except hidden ones', async () => {
    const folder = (name: string) => mkdirSync(join(root, name), { recursive: true })
    for (const name of ['own/.venv', 'own/inner', 'run']) folder(name)
    writeFileSync(join(outside, 'events.jsonl'), '{"type":"note","text":"secret"}\n')
    symlinkSync(outside, join(root, 'own/.venv/bin'))
    await expect(call('check_data', { paths: ['own'] })).rejects.toThrow('no scan found')
    symlinkSync('../../link', join(root, 'own/inner/scans'))
    await expect(call('check_data', { paths: ['own'] })).rejects.toThrow('own/inner/scans: a symbolic link')
    writeFileSync(join(root, 'run/config.resolved.yaml'), '{}')
    expect(await call('list_runs', {})).toHaveLength(1)
    symlinkSync(join(outside, 'events.jsonl'), join(root, 'run/events.jsonl'))
    await expect(call('read_events', { run: 'run' })).rejects.toThrow('run/events.jsonl: a symbolic link')
    expect(await call('list_runs', {})).toEqual([])
  })

  it('refuse a null byte in a path', () => {
    expect(tools.get('list_runs')!.input.safeParse({ folder: 'a\0b' }).success).toBe(false)
  })
})

describe('configurations that an agent names', () => {
  it('run no code', async () => {
    const marker = join(root, 'ran')
    const module = `import { writeFileSync } from 'node:fs'\nwriteFileSync(${JSON.stringify(marker)}, '')\nexport default {}\n`
    writeFileSync(join(root, 'evil.mjs'), module)
    await expect(call('check_config', { config: 'evil.mjs' })).rejects.toThrow(
      'expected .yaml, .yml or .json',
    )
    await expect(call('check_data', { paths: ['evil.mjs'] })).rejects.toThrow('expected .yaml, .yml or .json')
    const trained = written(
      'trained.json',
      config({
        job: 'segmentation',
        networks: { baseline: { trainFrom: 'evil.mjs' }, generator: { trainFrom: 'evil.mjs' } },
      }),
    )
    await expect(call('plan_run', { config: trained })).rejects.toThrow('expected .yaml, .yml or .json')
    expect(existsSync(marker)).toBe(false)
  })

  it('name no program, also in a configuration that is trained first', async () => {
    const python = written('python.json', config({ runtime: { python: '/bin/sh' } }))
    await expect(call('plan_run', { config: python })).rejects.toThrow('runtime.python: names a program')
    const plugin = { python: '/bin/sh', command: ['-c', 'id'] }
    const plugged = written(
      'plugged.json',
      config({ job: 'segmentation', networks: { baseline: { trainFrom: 'x.json' }, generator: { plugin } } }),
    )
    await expect(call('plan_run', { config: plugged })).rejects.toThrow('generator.plugin: names a program')
    const networks = { baseline: { trainFrom: python }, generator: { trainFrom: python } }
    const chain = written('chain.json', config({ job: 'segmentation', networks }))
    await expect(call('check_config', { config: chain })).rejects.toThrow('runtime.python: names a program')
  })

  it.each([
    ['data', { data: { root: '/etc', datasets: [{ name: 'LiTS' }] } }],
    ['a cache', { prepare: { cache: '../outside/cache' } }],
    ['a checkpoint', { networks: { initialWeights: { checkpoint: '../outside/model.pt' } } }],
    ['reviews', { quality: { reviews: 'link' } }],
  ])('name no %s outside', async (_, more) => {
    const file = written('outside.json', config(more))
    await expect(call('plan_run', { config: file })).rejects.toThrow(
      /outside the folders|not recognised|unknown/,
    )
    await expect(call('write_config', { file: 'new.yaml', config: config(more) })).rejects.toThrow()
    expect(existsSync(join(root, 'new.yaml'))).toBe(false)
  })

  it('name no manifest with files outside', async () => {
    const manifest = written('manifest.json', { cases: [{ image: '/etc/passwd' }] })
    await expect(call('check_data', { paths: [manifest] })).rejects.toThrow('outside the folders')
    const file = written(
      'by-manifest.json',
      config({ data: { manifest: 'manifest.json', datasets: [{ name: 'x' }] } }),
    )
    await expect(call('plan_run', { config: file })).rejects.toThrow('outside the folders')
  })

  it.each([
    ['a path', [{ name: 'x', path: '../outside', role: 'labelled', labelMap: 'region' }], {}],
    ['a name', [{ name: '../outside', role: 'labelled', labelMap: 'region' }], {}],
    ['a symbolic link', [{ name: 'link', role: 'labelled', labelMap: 'region' }], {}],
    ['a list', [{ name: 'x', path: 'list.json', role: 'labelled', labelMap: 'region' }], {}],
    ['a layout', [{ name: 'x' }], { images: '../../outside', labels: 'labels' }],
  ])('name no data set outside by %s', async (_, datasets, layout) => {
    written('list.json', { training: [{ image: 'link/scan.nii.gz', label: 'label.nii.gz' }] })
    const role = { kind: 'labelled', organs: ['liver'] }
    const own = { name: 'x', region: 'abdomen', role, layout: { kind: 'folders', ...layout } }
    const registry = 'images' in layout ? [own] : []
    const data = { root: '.', allowOutside: true, datasets, registry }
    const file = written('named.json', config({ data }))
    for (const name of ['check_config', 'plan_run'])
      await expect(call(name, { config: file }), name).rejects.toThrow('outside the folders')
    await expect(call('write_config', { file: 'a.yaml', config: config({ data }) })).rejects.toThrow(
      'outside the folders',
    )
  })

  it('send nothing to a tracker', async () => {
    for (const tracking of [{ mlflow: 'https://a.example' }, { otlp: 'https://a.example' }, { wandb: 'a' }]) {
      const keys = config({ tracking })
      await expect(call('write_config', { file: 'a.yaml', config: keys })).rejects.toThrow('sends figures')
      const file = written('tracked.json', keys)
      await expect(call('start_training', { config: file, out: 'run' })).rejects.toThrow('sends figures')
    }
  })

  it('are written with the keys that were given', async () => {
    await call('write_config', { file: 'new.yaml', config: config({ name: 'mine' }) })
    expect(await call('check_config', { config: 'new.yaml', data: false })).toMatchObject({ ok: true })
    await expect(call('write_config', { file: 'new.yaml', config: config({}) })).rejects.toThrow('new .yaml')
  })
})

describe('answers', () => {
  it.each(HOSTILE.flatMap((text) => [{ [text]: 1 }, { reason: text }]))(
    'carry hostile text %# as data',
    (value) => {
      const { content } = answerOf(value)
      expect(content).toHaveLength(2)
      expect(content[0]!.text).toMatch(/^The following JSON comes from files\./)
      const text = content[1]!.text
      expect(text).not.toMatch(HIDDEN)
      const [[key, inner]] = Object.entries(JSON.parse(text)) as [[string, string | number]]
      expect(Math.max(key.length, String(inner).length)).toBeLessThanOrEqual(MAX_TEXT + 3)
    },
  )

  it('hold no voxels', () => {
    const { content } = answerOf({ data: new Int16Array([1, 2, 3]), raw: new ArrayBuffer(8) })
    expect(content[1]!.text).toBe(
      '{"data":"(voxels are not part of an answer)","raw":"(voxels are not part of an answer)"}',
    )
  })

  it('are cut to a bounded length, with the number of omitted values', () => {
    const findings = Array.from({ length: 10_000 }, (_, at) => ({ at, text: 'y'.repeat(300) }))
    const text = answerOf({ findings }).content[1]!.text
    expect(text.length).toBeLessThanOrEqual(MAX_CHARACTERS)
    expect(text).toMatch(/\(9\d\d\d more omitted\)/)
  })

  it('state cause and remedy of an error, and no stack of a bug', () => {
    const text = errorAnswer(new TypeError('/root/secret')).content[1]!.text
    expect(JSON.parse(text)).toEqual({ error: 'internal error', hint: 'report this fault', exitCode: 1 })
  })
})

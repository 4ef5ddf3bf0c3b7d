import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { PredictSpec } from '../../../src/pipeline/ports/cases.js'
import type { CheckpointFacts } from '../../../src/pipeline/ports/checkpoint.js'
import { type Prediction, type PredictOptions, predictMasks } from '../../../src/pipeline/predict/run.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { checkpointFacts, generatorFacts, lacking, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const STATED = { windowHu: [-175, 250], spacingMm: [1.5, 1.5, 1.5], patchVoxels: [96, 96, 96] }

let folder: string
let out: string
let notes: string[]
/** What the twin was asked to do, call by call. */
let specs: PredictSpec[]
let stopAt: string | null

beforeEach(() => {
  folder = temporaryFolder()
  out = join(folder, 'out')
  notes = []
  specs = []
  stopAt = null
  for (const name of ['a', 'b', 'c']) scan(`${name}_0000.nii.gz`)
})

function scan(name: string, content = name): string {
  const path = join(folder, 'scans', name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return path
}

/** A file that a checkpoint of three outputs, or of what `changes` say, is read from. */
function facts(path: string, changes: Partial<CheckpointFacts> = {}): CheckpointFacts {
  const sha256 = createHash('sha256').update(path).digest('hex')
  return checkpointFacts([segmentorFacts(3)], { path, metadata: STATED, sha256, ...changes })
}

const files: Record<string, Partial<CheckpointFacts>> = {
  'model.pt': {},
  'second.pt': {},
  'silent.pt': { metadata: null },
  'half.pt': { metadata: { windowHu: [-100, 100] } },
  'finer.pt': { metadata: { ...STATED, spacingMm: [1, 1, 1] } },
  'seven.pt': { networks: [segmentorFacts(7)] },
  'untold.pt': { patchMerging: { order: null, assumed: false, needed: true } },
  'published.pt': { patchMerging: { order: 'legacy', assumed: true, needed: false } },
  nnunet: {
    format: 'nnunet',
    networks: [0, 1].map((fold) => segmentorFacts(3, { name: `fold_${fold}`, architecture: 'resenc' })),
    metadata: {
      ...STATED,
      labelNames: ['background', 'liver', 'liver tumor'],
      windows: { overlap: 0.5, blend: 'gaussian', mirrorAxes: [0, 2], grid: 'prepared' },
    },
  },
  'half-nnunet': {
    format: 'nnunet',
    networks: [
      segmentorFacts(3, { name: 'fold_0', architecture: 'unet' }),
      segmentorFacts(3, { name: 'fold_1', architecture: 'unet', ...lacking('a') }),
    ],
  },
  'resenc.pt': { networks: [segmentorFacts(3, { architecture: 'resenc' })] },
  'torn.pt': { networks: [segmentorFacts(3, lacking('a', 'b', 'c', 'd'))] },
  'four.pt': {
    networks: [
      segmentorFacts(3, {
        causes: ['expects 1 input channel, the file has 4'],
        otherShapes: [{ key: 'a', shape: [12, 4], expected: [12, 1] }],
      }),
    ],
  },
  'nnunet.pt': { networks: [segmentorFacts(3, { architecture: null, outputs: null, family: 'an nnU-Net' })] },
  'fourteen.pt': { networks: [segmentorFacts(14)] },
  'generator.pt': { kind: 'generator', networks: [generatorFacts(3)] },
  'wrapped.pt': {
    prefixes: ['module.'],
    renamed: { 'swin_vit.': 'swinViT.' },
    skipped: ['args (argparse.Namespace)'],
  },
  'own.pt': { metadata: { ...STATED, windows: { overlap: 0.5, blend: 'gaussian' } } },
  'own2.pt': { metadata: { ...STATED, windows: { overlap: 0.25, blend: 'gaussian' } } },
  'coarse.pt': { metadata: { ...STATED, spacingMm: [3, 3, 3], patchVoxels: [64, 64, 64] } },
  'odd.pt': { metadata: { ...STATED, patchVoxels: [96, 96, 90] } },
}

function predict(options: Partial<PredictOptions> = {}, checkpoint = ['model.pt']): Promise<Prediction> {
  const runtime = inMemoryRuntime({
    inspect: (path) => facts(path, files[path.slice(folder.length + 1)] ?? {}),
    inspectPlugin: () => ({
      ...{ name: 'threshold', version: '1', licence: 'MIT', sha256: null, synthesize: null },
      segment: { names: ['background', 'tumor'], spacingMm: null, windowHu: null, patchVoxels: [96, 96, 96] },
      tumorOutputs: [1],
    }),
    predict: ({ id, name }, spec) => {
      if (specs.at(-1) !== spec) specs.push(spec)
      if (id === stopAt) throw new Error('killed')
      if (id.startsWith('broken'))
        return { caseId: id, error: { kind: 'data', message: `${id} is damaged`, hint: '' } }
      writeFileSync(join(spec.directory, `${name}.nii.gz`), `mask of ${id}`)
      const sha256 = createHash('sha256').update(`mask of ${id}`).digest('hex')
      return {
        caseId: id,
        result: {
          files: { [`${name}.nii.gz`]: sha256 },
          seconds: { read: 1, segment: 2, write: 3 },
          windows: { all: 8, computed: 8, blank: 0, leftOut: 0 },
          labelVoxels: [1, 0, 0],
          ...(spec.operatingPoint === null ? {} : { lesions: { kept: 1, removed: 2 } }),
        },
      }
    },
  })
  return predictMasks(
    {
      images: join(folder, 'scans'),
      out,
      checkpoint: checkpoint.map((name) => join(folder, name)),
      ...options,
    },
    { runtime, signal: undefined, logDirectory: folder, note: (text) => notes.push(text) },
  )
}

test.each([
  [['model.pt'], {}, { overlap: 0.75, blend: 'constant' }],
  [['own.pt'], {}, { overlap: 0.5, blend: 'gaussian' }],
  [['own.pt'], { overlap: 0.625 }, { overlap: 0.625, blend: 'gaussian' }],
  [['own.pt'], { profile: 'freetumor' }, { overlap: 0.75, blend: 'constant' }],
  [['own.pt', 'own2.pt'], {}, { overlap: 0.75, blend: 'constant' }],
] as const)(
  'the windows of %j with %j follow option, profile, then the run of the weights',
  async (files, options, windows) => {
    await predict(options, [...files])
    expect(specs[0]!.windows).toMatchObject(windows)
  },
)

describe('which scans', () => {
  test('all of a folder, by their stems', async () => {
    scan('._a.nii.gz')
    scan('notes.txt')
    const { cases } = await predict()
    expect(cases.map(({ caseId, output }) => [caseId, output])).toEqual(
      ['a', 'b', 'c'].map((id) => [id, join(out, `${id}.nii.gz`)]),
    )
  })

  test('one file, or the paths of a text list', async () => {
    expect((await predict({ images: join(folder, 'scans/b_0000.nii.gz') })).cases).toHaveLength(1)
    writeFileSync(join(folder, 'list.txt'), 'scans/c_0000.nii.gz\n\nscans/a_0000.nii.gz\n')
    const { cases } = await predict({ images: join(folder, 'list.txt') })
    expect(cases.map(({ caseId }) => caseId)).toEqual(['c', 'a'])
  })

  test('a split of a decathlon list, which must be named if there are several', async () => {
    const list = join(folder, 'list.json')
    const content = { training: [{ image: 'scans/a_0000.nii.gz' }], test: ['./scans/b_0000.nii.gz'] }
    writeFileSync(list, JSON.stringify(content))
    await expect(predict({ images: list })).rejects.toThrow(
      /several splits \(expected one, found training, test\)/,
    )
    const { cases } = await predict({ images: list, split: 'test' })
    expect(cases.map(({ caseId }) => caseId)).toEqual(['b'])
    await expect(predict({ images: list, split: 'validation' })).rejects.toThrow(
      /no case of split validation/,
    )
  })

  test('two scans of one stem are refused by name, and so is what is no scan', async () => {
    scan('a_0000.nii')
    await expect(predict()).rejects.toThrow(
      /a_0000\.nii and .*a_0000\.nii\.gz would both have the mask a\.nii\.gz/,
    )
    const list = join(folder, 'list.txt')
    writeFileSync(list, 'one/Scan.nii.gz\nother/scan.nii.gz\n')
    await expect(predict({ images: list })).rejects.toThrow(
      /one\/Scan\.nii\.gz and .*other\/scan\.nii\.gz would both have the mask scan\.nii\.gz/,
    )
    await expect(predict({ images: join(folder, 'nowhere') })).rejects.toThrow(
      /nowhere: list or data set not found/,
    )
    await expect(predict({ images: scan('a.png') })).rejects.toThrow(/not a scan and not a list/)
  })

  test('organ masks are paired by stem; scans without one are listed', async () => {
    mkdirSync(join(folder, 'organs'))
    for (const name of ['a', 'c']) writeFileSync(join(folder, 'organs', `${name}.nii.gz`), '')
    await predict({ organMasks: join(folder, 'organs'), organIds: [5] })
    expect(specs[0]!.cases.map(({ organMask }) => organMask?.slice(folder.length) ?? null)).toEqual([
      '/organs/a.nii.gz',
      null,
      '/organs/c.nii.gz',
    ])
    expect(specs[0]!.organIds).toEqual([5])
    expect(notes).toEqual([expect.stringMatching(/^1 of 3 scans without organ mask .*, first b/)])
  })
})

describe('what a checkpoint wants', () => {
  test('comes from the file; user values are used only if it states none, and a difference is noted', async () => {
    await predict({ windowHu: [-1000, 500], spacingMm: [1.5, 1.5, 1.5] })
    expect(specs[0]).toMatchObject(STATED)
    expect(notes).toEqual([
      expect.stringMatching(/^windowHu: uses \[-175,250\] of the checkpoint instead of/),
    ])
    rmSync(out, { recursive: true })
    await predict({ spacingMm: [2, 2, 2], patchVoxels: [64, 64, 64] }, ['half.pt'])
    expect(specs[1]).toMatchObject({ windowHu: [-100, 100], spacingMm: [2, 2, 2], patchVoxels: [64, 64, 64] })
  })

  test.each([
    ['silent.pt', 'usage', /silent\.pt: does not state its windowHu, spacingMm, patchVoxels/],
    ['half.pt', 'usage', /half\.pt: does not state its spacingMm, patchVoxels/],
    ['untold.pt', 'usage', /untold\.pt: does not state the patch-merging order/],
    ['torn.pt', 'checkpoint', /torn\.pt: 4 missing \(a, b, c, \.\.\.\)/],
    [
      'four.pt',
      'checkpoint',
      /expects 1 input channel, the file has 4; 1 of another shape \(a 12 x 4 for 12 x 1\)/,
    ],
    ['nnunet.pt', 'checkpoint', /holds no whole segmentor \(.*found an nnU-Net\)/],
    [
      'fourteen.pt',
      'checkpoint',
      /tumors among its outputs are not known \(expected 7, 3 or 2 outputs, found 14\)/,
    ],
    ['generator.pt', 'checkpoint', /holds no whole segmentor \(.*found a generator\)/],
    ['odd.pt', 'usage', /expected sides divisible by 32, found 96 x 96 x 90/],
  ])('%s is refused before anything is written', async (name, code, message) => {
    await expect(predict({}, [name])).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      exitCode: 2,
    })
    expect(specs).toEqual([])
    expect(readdirSync(folder)).not.toContain('out')
  })

  test('the merging order is used for files that do not state it, and refused for one that does', async () => {
    await predict({ patchMerging: 'v2' }, ['untold.pt'])
    await predict({ patchMerging: 'corrected', out: join(folder, '2') }, ['published.pt', 'model.pt'])
    expect(specs.map(({ members }) => members.map(({ patchMerging }) => patchMerging))).toEqual([
      ['v2'],
      ['corrected', null],
    ])
    await expect(predict({ patchMerging: 'v2', out: join(folder, '3') })).rejects.toThrow(
      /--merging v2: .* states the order corrected/,
    )
  })

  test('reports what was dropped and skipped, and passes the selected set of weights on', async () => {
    await predict({ weights: 'student' }, ['wrapped.pt'])
    expect(notes).toEqual([
      expect.stringMatching(
        /wrapped\.pt: prefixes dropped: module\.; swin_vit\. read as swinViT\.; skipped: args \(argparse\.Namespace\)$/,
      ),
    ])
    expect(specs[0]!.members).toMatchObject([{ weights: 'student' }])
  })

  test('members of an ensemble must agree', async () => {
    await predict({}, ['model.pt', 'second.pt'])
    expect(specs[0]!.members.map(({ checkpoint }) => checkpoint)).toEqual(
      ['model.pt', 'second.pt'].map((name) => join(folder, name)),
    )
    await expect(predict({}, ['model.pt', 'finer.pt'])).rejects.toThrow(
      /cannot join the ensemble of .*: they differ in spacingMm/,
    )
    await expect(predict({}, ['model.pt', 'seven.pt'])).rejects.toThrow(
      /seven\.pt: cannot join .*expected 3 outputs, found 7/,
    )
  })
})

describe('an nnU-Net', () => {
  test('is predicted with its own windows and mirror axes, which options change', async () => {
    await predict({}, ['nnunet'])
    expect(specs[0]).toMatchObject({
      windows: { overlap: 0.5, blend: 'gaussian' },
      mirrorAxes: [0, 2],
      grid: 'original',
      maskIds: [0, 1, 2],
    })
    await predict({ mirrorAxes: [], map: { 'liver-tumor': 7 }, out: join(folder, '2') }, ['nnunet'])
    expect(specs[1]).toMatchObject({ mirrorAxes: [], maskIds: [0, 1, 7] })
  })

  test('joins no ensemble, and has neither a prepared grid nor coarse windows', async () => {
    await expect(predict({}, ['nnunet', 'model.pt'])).rejects.toThrow(
      /nnunet: an nnU-Net model cannot join an ensemble/,
    )
    await expect(predict({ grid: 'prepared' }, ['nnunet'])).rejects.toThrow(
      /--grid prepared: not possible with an nnU-Net model/,
    )
    await expect(predict({ blend: 'constant' }, ['nnunet'])).rejects.toThrow(/--blend constant/)
    await expect(predict({ windows: 'coarse' }, ['nnunet'])).rejects.toThrow(
      /--windows coarse: not possible with an nnU-Net model/,
    )
  })

  test('profile nnunet has no coarse windows, and names a plug-in as another kind of network', async () => {
    await expect(predict({ profile: 'nnunet', windows: 'coarse' }, ['resenc.pt'])).rejects.toThrow(
      /--windows coarse: not possible with an nnU-Net model \(expected all\)/,
    )
    await predict({ profile: 'nnunet' }, ['resenc.pt'])
    expect(specs[0]).toMatchObject({ method: 'nnunet', windowChoice: 'all' })
    const plugin = { command: ['threshold'], startTimeoutSeconds: 1, requestTimeoutSeconds: 1 }
    await expect(
      predict({ profile: 'nnunet', plugin, windowHu: [-175, 250], spacingMm: [1, 1, 1] }, []),
    ).rejects.toThrow(/--profile nnunet: wrong kind of network \(expected resenc or unet, found a plug-in\)/)
  })

  test('is refused if one of its folds is not whole', async () => {
    await expect(predict({}, ['half-nnunet'])).rejects.toThrow(/half-nnunet: 1 missing \(a\)/)
  })
})

describe('a glance', () => {
  const coarse = (): string => join(folder, 'coarse.pt')

  test('sends the coarser network with its own preparation', async () => {
    await predict({ windows: 'organs', glance: coarse() })
    expect(specs[0]).toMatchObject({
      windowChoice: 'organs',
      spacingMm: [1.5, 1.5, 1.5],
      glance: {
        member: { checkpoint: coarse(), weights: null },
        windowHu: [-175, 250],
        spacingMm: [3, 3, 3],
        patchVoxels: [64, 64, 64],
      },
    })
    await predict({ windows: 'coarse', out: join(folder, '2') })
    expect(specs[1]).toMatchObject({ windowChoice: 'coarse', glance: null })
  })

  test('refuses a folder of masks that another network chose the windows of', async () => {
    await predict({ windows: 'coarse' })
    await expect(predict({ windows: 'coarse', glance: coarse() })).rejects.toThrow(
      /other settings \(glance\)/,
    )
  })

  test('refuses a network with other outputs, and one that could choose nothing', async () => {
    await expect(predict({ glance: coarse() })).rejects.toThrow(
      /--glance: has no effect with --windows all \(expected organs or coarse\)/,
    )
    await expect(predict({ windows: 'organs', glance: join(folder, 'seven.pt') })).rejects.toThrow(
      /seven.pt: cannot choose sliding windows \(expected a segmentor with 3 outputs, found 7 outputs\)/,
    )
    await predict({ windows: 'organs', glance: join(folder, 'second.pt') })
    expect(notes).toContain(
      `${join(folder, 'second.pt')}: has the spacing of the segmentor, so --glance saves little time`,
    )
  })
})

describe('profiles', () => {
  test('are published settings, which options change', async () => {
    await predict({ profile: 'difftumor', overlap: 0.5 }, ['model.pt'])
    expect(specs[0]).toMatchObject({
      windows: { overlap: 0.5, blend: 'gaussian', windowBatch: 1 },
      windowChoice: 'all',
      grid: 'original',
      resampling: 'linear',
      cropForeground: false,
      padding: 'minimum',
      // the file says it
      spacingMm: [1.5, 1.5, 1.5],
      maskIds: [0, 1, 2],
    })
    await predict(
      { profile: 'difftumor', windowHu: [-175, 250], patchVoxels: [96, 96, 96], out: join(folder, '2') },
      ['silent.pt'],
    )
    expect(specs[1]).toMatchObject({ spacingMm: [1, 1, 1] })
    await predict({ profile: 'freetumor', out: join(folder, '3') })
    expect(specs[2]).toMatchObject({
      grid: 'prepared',
      windows: { overlap: 0.75, blend: 'constant', windowBatch: 4 },
    })
    await predict({ profile: 'leaderboard', out: join(folder, '4') }, ['seven.pt'])
    expect(specs[3]).toMatchObject({
      grid: 'original',
      resampling: 'nearest',
      maskIds: [0, 0, 1, 0, 1, 0, 1],
    })
  })

  test('labels come along to the prepared grid only', async () => {
    mkdirSync(join(folder, 'labels'))
    writeFileSync(join(folder, 'labels', 'a.nii.gz'), '')
    const labels = join(folder, 'labels')
    await expect(predict({ labels })).rejects.toThrow(/--labels: needs the prepared grid/)
    await predict({ labels, profile: 'freetumor' })
    expect(specs[0]!.cases.map(({ label }) => label)).toEqual([join(labels, 'a.nii.gz'), null, null])
    expect(notes).toEqual([expect.stringMatching(/^2 of 3 scans without label in .*, first b$/)])
  })

  test('probabilities are of outputs that exist', async () => {
    await predict({ probabilities: 'all' })
    expect(specs[0]!.probabilities).toEqual([0, 1, 2])
    await expect(predict({ probabilities: [3], out: join(folder, '2') })).rejects.toThrow(
      /--probabilities: no such output of the checkpoint \(expected 0 to 2.*found 3\)/,
    )
  })
})

describe('a resumed prediction', () => {
  test('reports a failed case and continues with the others; the next start retries it', async () => {
    scan('broken_0000.nii.gz')
    const { cases, failed } = await predict()
    expect(cases).toHaveLength(3)
    expect(failed).toEqual([
      { caseId: 'broken', error: { kind: 'data', message: 'broken is damaged', hint: '' } },
    ])
    await predict()
    expect(specs[1]!.cases.map(({ id }) => id)).toEqual(['broken'])
  })

  test('segments only cases whose result is missing, damaged, partially written or of another scan', async () => {
    await predict()
    scan('a_0000.nii.gz', 'another scan of this name')
    writeFileSync(join(out, 'b.nii.gz'), 'mask of')
    writeFileSync(join(out, `c.nii.gz.${'0'.repeat(32)}.tmp`), 'mas')
    scan('d_0000.nii.gz')
    const { cases } = await predict()
    expect(specs[1]!.cases.map(({ id }) => id)).toEqual(['a', 'b', 'd'])
    expect(cases.map(({ caseId, reused }) => [caseId, reused])).toEqual([
      ['a', false],
      ['b', false],
      ['c', true],
      ['d', false],
    ])
    expect(readFileSync(join(out, 'b.nii.gz'), 'utf8')).toBe('mask of b')
    expect(readdirSync(out).sort()).toEqual([
      ...['a', 'b', 'c', 'd'].map((id) => `${id}.nii.gz`),
      'prediction.json',
      'predictions.jsonl',
    ])
  })

  test('keeps the results from before the runtime crashed', async () => {
    stopAt = 'c'
    await expect(predict()).rejects.toThrow('killed')
    stopAt = null
    await predict()
    expect(specs[1]!.cases.map(({ id }) => id)).toEqual(['c'])
    expect(notes).toEqual(['2 of 3 masks already written'])
  })

  test('refuses a folder of other settings, and files that it did not make, unless they are to be overwritten', async () => {
    await predict()
    await expect(predict({ blend: 'gaussian', minForeground: 0.1 })).rejects.toMatchObject({
      code: 'usage',
      message: `${out}: holds a prediction with other settings (minForeground, windows)`,
    })
    await expect(predict({ windows: 'coarse' })).rejects.toThrow(/other settings \(windowChoice, glance\)/)
    await expect(predict({}, ['second.pt'])).rejects.toThrow(/other settings \(checkpoints/)
    // what rounds otherwise at most is no other setting
    await predict({ windowBatch: 1, processes: 2, threadsPerProcess: 3 })
    await predict({ blend: 'gaussian', overwrite: true })
    expect(specs.map(({ cases }) => cases.length)).toEqual([3, 3])
    const foreign = join(folder, 'foreign')
    mkdirSync(foreign)
    writeFileSync(join(foreign, 'b.nii.gz'), "somebody's work")
    await expect(predict({ out: foreign })).rejects.toThrow(
      /foreign\/b\.nii\.gz: exists without a prediction\.json/,
    )
    expect(readFileSync(join(foreign, 'b.nii.gz'), 'utf8')).toBe("somebody's work")
  })

  test('reports the progress of every case', async () => {
    scan('broken_0000.nii.gz')
    const told: [number, number, string][] = []
    await predict({ onCase: ({ done, total, case: one }) => told.push([done, total, one.caseId]) })
    expect(told).toEqual([
      [1, 4, 'a'],
      [2, 4, 'b'],
      [3, 4, 'broken'],
      [4, 4, 'c'],
    ])
  })
})

describe('an operating point', () => {
  const RULE = { terms: [{ feature: 'volumeMl', label: null, weight: 1 }], intercept: 0, threshold: 0.5 }
  const rate = { successes: 1, of: 1, rate: 1, ci: [0, 1] }
  const figures = { lesionFree: rate, sensitivity: rate, falsePositivesPerScan: 0 }

  function written(name: string, prediction: object | null, rule: object = RULE): string {
    const path = join(folder, name)
    const point = {
      ...{
        format: 'freetumor operating point',
        version: 1,
        note: '',
        prediction,
        wanted: { rate: 0.9 },
        rule,
      },
      ...{ before: figures, after: { inSample: figures, crossValidated: null }, atLoss: [], candidates: [] },
      ...{ chosen: 'volumeMl', curve: [] },
    }
    writeFileSync(path, JSON.stringify(point))
    return path
  }

  test('reaches the runtime with the tumor ids of the mask, and its counts are recorded', async () => {
    await predict()
    const settings = JSON.parse(readFileSync(join(out, 'prediction.json'), 'utf8'))
    expect(settings).not.toHaveProperty('operatingPoint')
    notes.length = 0
    const operatingPoint = written('point.json', settings)
    const { cases } = await predict({ operatingPoint, out: join(folder, 'kept') })
    expect(specs.at(-1)!.operatingPoint).toEqual({ tumorIds: [2], ...RULE })
    expect(cases.map(({ lesions }) => lesions)).toEqual(new Array(3).fill({ kept: 1, removed: 2 }))
    expect(notes).toEqual([])
    const recorded = JSON.parse(readFileSync(join(folder, 'kept/prediction.json'), 'utf8'))
    expect(recorded.operatingPoint).toMatchObject({ tumorIds: [2], threshold: 0.5 })
    const lines = readFileSync(join(folder, 'kept/predictions.jsonl'), 'utf8').trim().split('\n')
    expect(JSON.parse(lines[0]!).lesions).toEqual({ kept: 1, removed: 2 })
  })

  test('that changed is another prediction, and the same one is resumed with its counts', async () => {
    const operatingPoint = written('point.json', null)
    await predict({ operatingPoint })
    const { cases } = await predict({ operatingPoint })
    expect(cases.every(({ reused, lesions }) => reused && lesions?.removed === 2)).toBe(true)
    written('point.json', null, { ...RULE, threshold: 0.6 })
    await expect(predict({ operatingPoint })).rejects.toThrow(/other settings \(operatingPoint\)/)
    await expect(predict()).rejects.toThrow(/other settings \(operatingPoint\)/)
  })

  test('of another checkpoint is refused before anything is written', async () => {
    const operatingPoint = written('point.json', { checkpoints: [{ sha256: 'ab'.repeat(32) }] })
    await expect(predict({ operatingPoint })).rejects.toThrow(
      /fitted for another prediction \(expected checkpoints/,
    )
    expect(readdirSync(folder)).not.toContain('out')
  })

  test('needs a mask whose tumor ids are no other outputs', async () => {
    const operatingPoint = written('point.json', null)
    await expect(predict({ operatingPoint, map: { '1': 2 } })).rejects.toThrow(
      /found 2, which another output has too/,
    )
    await expect(predict({ operatingPoint, map: { '2': 0 } })).rejects.toThrow(
      /expected ids of tumors alone, found none/,
    )
  })
})

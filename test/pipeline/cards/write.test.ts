import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { printConfig } from '../../../src/config/load.js'
import { makeManifest, writeManifest } from '../../../src/curation/datasets/manifest.js'
import { writeCards } from '../../../src/pipeline/cards/write.js'
import { hashFile } from '../../../src/provenance/scan-facts.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { makeSignedSet } from '../../provenance/signed-set.js'
import { memoryConfig } from '../train/memory-run.js'

const ORGANS = ['liver', 'pancreas', 'kidney']
const SIZES = ['tiny', 'large']
const VERDICTS = ['accepted', 'rejected', 'accepted', 'noRoom', 'accepted']

/** Attempts with figures that no rule relates to each other. */
const LINES = Array.from({ length: 47 }, (_, at) => ({
  case: `Mine/case_${at % 7}`,
  variant: at % 3,
  tumor: 0,
  attempt: at,
  organ: ORGANS[(at * 5) % 3]!,
  size: SIZES[(at * 7) % 2]!,
  seed: 11,
  verdict: VERDICTS[at % 5]!,
  reason: 'seen',
  measures:
    VERDICTS[at % 5] === 'noRoom' ? {} : { volumeMl: ((at * 13) % 47) / 7, contrastHu: -((at * 31) % 89) },
  ...(VERDICTS[at % 5] === 'accepted' ? { file: `case_${at % 7}_v00${at % 3}.nii.gz` } : {}),
  time: `2026-01-${String(1 + (at % 28)).padStart(2, '0')}T00:00:00.000Z`,
}))

async function dataset(): Promise<string> {
  const ledger = LINES.map((line) => `${JSON.stringify(line)}\n`).join('')
  const { folder } = await makeSignedSet(temporaryFolder(), 3, ledger)
  const cases = [0, 1, 2, 3].map((at) => ({
    id: `synthetic/case_${at}`,
    dataset: 'synthetic',
    patient: `patient-${at % 3}`,
    region: 'abdomen' as const,
    role: { kind: 'host' as const },
    image: `imagesTr/case_${at}.nii.gz`,
    label: null,
    fold: null,
    split: 'training' as const,
    labelMap: null,
  }))
  await writeManifest(join(folder, 'manifest.json'), makeManifest(cases))
  return folder
}

/** Return the rows of all tables of a Markdown text, by their first cells. */
function rowsOf(text: string): Map<string, string> {
  const rows = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
  return new Map(
    rows.map((row) => {
      const cells = row.slice(2, -2).split(' | ')
      return cells.length === 4
        ? [`${cells[0]} ${cells[1]}`, `${cells[2]} ${cells[3]}`]
        : [cells[0]!, cells[1]!]
    }),
  )
}

/** Return the smallest value that at least this share of the values does not exceed. */
function percentile(values: readonly number[], share: number): string {
  const enough = values.filter(
    (value) => values.filter((other) => other <= value).length >= share * values.length - 1e-9,
  )
  return Math.min(...enough).toFixed(2)
}

describe('the data card of a data set', () => {
  it('has only figures that its files give', async () => {
    const folder = await dataset()
    const { kind, files } = await writeCards(folder, join(folder, 'cards'))
    expect(kind).toBe('dataset')
    expect(files.map((file) => file.slice(folder.length))).toEqual([
      '/cards/croissant.json',
      '/cards/data-card.md',
      '/cards/citations.md',
    ])
    const rows = rowsOf(await readFile(join(folder, 'cards/data-card.md'), 'utf8'))
    const count = (test: (line: (typeof LINES)[number]) => boolean) => String(LINES.filter(test).length)
    const accepted = LINES.filter(({ verdict }) => verdict === 'accepted')
    const rejected = LINES.filter(({ verdict }) => verdict === 'rejected')
    const sizes = await Promise.all(
      ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr'].map(async (name) => {
        const names = await readdir(join(folder, name))
        const facts = await Promise.all(names.map((one) => hashFile(join(folder, name, one))))
        return facts.reduce((sum, { bytes }) => sum + bytes, 0)
      }),
    )
    const spread = (key: 'volumeMl' | 'contrastHu', unit: string) => {
      const values = accepted.map(({ measures }) => measures[key]!)
      return `${[0.05, 0.5, 0.95].map((share) => percentile(values, share)).join(', ')} ${unit}`
    }
    const expected: Record<string, string> = {
      'synthetic scans': String(new Set(accepted.map(({ file }) => file)).size),
      'host CTs': '7',
      patients: '3',
      files: '12',
      size: `${(sizes.reduce((sum, size) => sum + size, 0) / 1e6).toFixed(1)} MB`,
      finished: '2026-01-28T00:00:00.000Z',
      'accepted attempts': count(({ verdict }) => verdict === 'accepted'),
      'rejected attempts': count(({ verdict }) => verdict === 'rejected'),
      'attempts without room': count(({ verdict }) => verdict === 'noRoom'),
      'acceptance rate': `${((100 * accepted.length) / (accepted.length + rejected.length)).toFixed(1)} %`,
      'volume of accepted tumors (5th, 50th, 95th percentile)': spread('volumeMl', 'ml'),
      'contrast of accepted tumors (5th, 50th, 95th percentile)': spread('contrastHu', 'HU'),
      freetumor: '0.1.0',
      seeds: '11',
      'settings (SHA-256)': 'a'.repeat(64),
      checkpoints: '{"generator":null,"baseline":null}',
      reviewers: 'none',
      Mine: 'hosts',
    }
    for (const organ of ORGANS)
      for (const size of SIZES) {
        const of = (verdict: string) =>
          count((line) => line.organ === organ && line.size === size && line.verdict === verdict)
        expected[`${organ} ${size}`] = `${of('accepted')} ${of('rejected')}`
      }
    const titles = ['item', 'source', 'organ size', 'provenance.json']
    const found = [...rows].filter(([name]) => !titles.includes(name))
    expect(Object.fromEntries(found)).toEqual(expected)
  })

  it('is refused if the ledger was changed after it was signed', async () => {
    const folder = await dataset()
    const ledger = join(folder, 'ledger.jsonl')
    await writeFile(ledger, (await readFile(ledger, 'utf8')).slice(0, -40))
    await expect(writeCards(folder, join(folder, 'cards'))).rejects.toThrow(
      `${ledger}: differs from provenance.json`,
    )
  })

  it('describes the data set in Croissant with the hashes of its files', async () => {
    const folder = await dataset()
    await writeCards(folder, folder)
    const { distribution, license, recordSet } = JSON.parse(
      await readFile(join(folder, 'croissant.json'), 'utf8'),
    )
    const { sha256 } = await hashFile(join(folder, 'ledger.jsonl'))
    expect(distribution).toContainEqual(expect.objectContaining({ '@id': 'ledger.jsonl', sha256 }))
    expect(license).toBe('https://creativecommons.org/licenses/by/4.0/')
    expect(recordSet[0].field).toHaveLength(8)
  })

  const python = process.env.FREETUMOR_MLCROISSANT
  it.skipIf(python === undefined)(
    'is valid Croissant for mlcroissant (needs FREETUMOR_MLCROISSANT, a Python with mlcroissant 1.1.1)',
    async () => {
      const folder = await dataset()
      await writeCards(folder, folder)
      const script = `
import sys, mlcroissant
data = mlcroissant.Dataset(jsonld=sys.argv[1])
assert not data.metadata.ctx.issues.errors and not data.metadata.ctx.issues.warnings, data.metadata.ctx.issues.report()
print(len(list(data.records("tumors"))))`
      const printed = execFileSync(python!, ['-c', script, join(folder, 'croissant.json')], {
        encoding: 'utf8',
      })
      expect(printed.trim()).toBe('47')
    },
  )
})

it('writes a model card with the figures of the run', async () => {
  const run = temporaryFolder()
  await writeFile(join(run, 'config.resolved.yaml'), printConfig(await memoryConfig('segmentation', run)))
  await writeFile(join(run, 'version.json'), '{"freetumor":"0.1.0","format":1}')
  const validation = (step: number, tumorDice: number, best: boolean) => ({
    ...{ type: 'validation', time: '2026-01-01T00:00:00Z', step, tumorDice, best },
    ...{ diceByLabel: { '1': 0.9, '2': tumorDice }, numCases: 4 },
  })
  const events = [validation(2, 0.25, true), validation(4, 0.5, true), validation(6, 0.375, false)]
  await writeFile(join(run, 'events.jsonl'), events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  await mkdir(join(run, 'checkpoints/step_00000004'), { recursive: true })
  await writeFile(join(run, 'checkpoints/step_00000004/model.pt'), 'weights')
  await writeFile(join(run, 'checkpoints/best'), 'step_00000004')
  await writeCards(run, run)
  const rows = Object.fromEntries(rowsOf(await readFile(join(run, 'model-card.md'), 'utf8')))
  const { sha256 } = await hashFile(join(run, 'checkpoints/step_00000004/model.pt'))
  expect(rows).toMatchObject({
    job: 'segmentation',
    checkpoint: 'checkpoints/step_00000004/model.pt',
    'SHA-256': sha256,
    validations: '3',
    'step of the best': '4',
    cases: '4',
    'tumor Dice': '0.5000',
    'Dice of label 1': '0.9000',
    'Dice of label 2': '0.5000',
    phantom_hosts: 'hosts',
  })
})

it('refuses a folder that is neither a data set nor a run', async () => {
  const folder = temporaryFolder()
  await mkdir(join(folder, 'other'))
  await expect(writeCards(join(folder, 'other'), folder)).rejects.toThrow(
    'neither a synthetic data set nor a run',
  )
})

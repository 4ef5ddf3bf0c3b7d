import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { readJsonLog } from '../../../src/jsonl.js'
import { mergeShardsAt } from '../../../src/pipeline/flows/merge.js'
import type { CaseToPrepare } from '../../../src/pipeline/prepare/run.js'
import type { Synthesis } from '../../../src/pipeline/synthesize/dataset.js'
import { synthesizeCases } from '../../../src/pipeline/synthesize/run.js'
import { synthesisSettings } from '../../../src/pipeline/synthesize/settings.js'
import type { SynthesisLine } from '../../../src/quality/ledger.js'
import { synthesisLineSchema } from '../../../src/quality/ledger-schema.js'
import { appendReview, type ReviewLine } from '../../../src/quality/reviews.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryRuntime } from '../train/memory-run.js'

interface Change {
  readonly seed?: number
  readonly reviews?: string
  readonly keepRejected?: number
  readonly variants?: number
}

/** The in-memory baseline detects tumors of 500 voxels and more: small tumors are rejected, then tried again. */
function configOf(folder: string, { seed = 3, reviews, keepRejected = 0, variants = 2 }: Change): RunConfig {
  const config = resolveConfig({
    job: 'segmentation',
    name: 'synthetic',
    seed,
    data: { datasets: [{ name: 'hosts', role: 'host' }] },
    prepare: { cache: join(folder, 'cache') },
    simulation: {
      organWeights: { liver: 1, pancreas: 0, kidney: 0 },
      sizeOdds: { tiny: 1, small: 1, medium: 0, large: 0 },
      texture: { sizeVoxels: [64, 64, 64], count: 2 },
    },
    sampling: { patchVoxels: [32, 32, 32] },
    networks: { segmentor: { kind: 'small', levels: 1 }, baseline: null, generator: null },
    training: { target: 'all' },
    synthesize: { variants, tumorsPerVariant: 2, triesPerTumor: 4, keepRejected },
    quality: { shareSeenThreshold: 0.5, reviews: reviews ?? null },
    report: { pictures: 0 },
  })
  writeFileSync(join(folder, 'b.pt'), '')
  const baseline = {
    checkpoint: join(folder, 'b.pt'),
    weights: null,
    trainFrom: null,
    plugin: null,
    patchMerging: null,
  }
  return { ...config, networks: { ...config.networks, baseline } }
}

/** Hosts with real files, because reviews apply to the same host only. */
function hostsIn(folder: string, ...ids: string[]): CaseToPrepare[] {
  mkdirSync(join(folder, 'hosts'), { recursive: true })
  return ids.map((id) => {
    const image = join(folder, 'hosts', `${id}.nii.gz`)
    writeFileSync(image, `voxels of ${id}`)
    return {
      id,
      dataset: 'Mine',
      patient: id,
      region: 'abdomen',
      role: { kind: 'host' },
      image,
      label: image,
      fold: null,
      split: 'training',
      labelMap: { '1': 1 },
    }
  })
}

function contextOf(folder: string, notes: string[]) {
  return {
    runtime: memoryRuntime(),
    signal: undefined,
    logDirectory: folder,
    note: (text: string) => void notes.push(text),
  }
}

async function made(
  folder: string,
  name: string,
  change: Change = {},
  hosts = hostsIn(folder, 'a', 'b'),
): Promise<{ out: string; result: Synthesis; ledger: SynthesisLine[]; notes: string[] }> {
  const out = join(folder, name)
  const notes: string[] = []
  const context = contextOf(folder, notes)
  const settings = synthesisSettings(configOf(folder, change))
  const result = await synthesizeCases({ settings, out, hosts }, context)
  const ledger: SynthesisLine[] = []
  for await (const line of readJsonLog<SynthesisLine>(join(out, 'ledger.jsonl'))) ledger.push(line)
  for (const line of ledger) synthesisLineSchema.parse(line)
  return { out, result, ledger, notes }
}

async function review(
  out: string,
  line: SynthesisLine,
  decision: ReviewLine['decision'],
  change: Partial<ReviewLine> = {},
): Promise<void> {
  await appendReview(join(out, 'reviews.jsonl'), {
    time: '2026-01-02T03:04:05Z',
    reviewer: 'Ada',
    case: line.case,
    variant: line.variant,
    tumor: line.tumor,
    sha256: line.sha256!,
    decision,
    reason: null,
    seconds: 1,
    version: '0.1.0',
    ...change,
  })
}

const placeOf = ({ case: id, variant, tumor, attempt }: SynthesisLine): string =>
  `${id} ${variant} ${tumor} ${attempt}`
const at = (ledger: readonly SynthesisLine[], place: SynthesisLine): SynthesisLine | undefined =>
  ledger.find((line) => placeOf(line) === placeOf(place))
const shownRejected = (ledger: readonly SynthesisLine[]): SynthesisLine =>
  ledger.find(({ rejectedFile }) => rejectedFile !== undefined)!
const factsOf = ({ time: _, file: __, sha256: ___, round: ____, ...line }: SynthesisLine): unknown => line

describe('kept rejected tumors', () => {
  it('are at most as many as wanted, in the ledger with file and hash, and in no list', async () => {
    const folder = temporaryFolder()
    const { out, ledger } = await made(folder, 'out', { keepRejected: 3 })
    const kept = ledger.filter(({ rejectedFile }) => rejectedFile !== undefined)
    expect(kept.length).toBeGreaterThan(0)
    expect(kept.length).toBeLessThanOrEqual(3)
    for (const line of kept) {
      expect(line).toMatchObject({ verdict: 'rejected', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
      expect(line.rejectedFile).toBe(`${line.case}_v00${line.variant}_t${line.tumor}_a${line.attempt}.nii.gz`)
      for (const list of ['dataset.json', 'manifest.json'])
        expect(readFileSync(join(out, list), 'utf8')).not.toContain(line.rejectedFile)
    }
  })

  it('change nothing else in the ledger; without the key none is kept', async () => {
    const folder = temporaryFolder()
    const withThem = await made(folder, 'with', { keepRejected: 3 })
    const without = await made(folder, 'without')
    expect(without.ledger.some(({ rejectedFile }) => rejectedFile !== undefined)).toBe(false)
    const plain = ({ rejectedFile: _, ...line }: SynthesisLine): unknown => factsOf(line as SynthesisLine)
    expect(withThem.ledger.map(plain)).toEqual(without.ledger.map(plain))
  })

  it('are counted over a restart: more variants keep no more than wanted', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'out', { keepRejected: 2, variants: 1 })
    for (const { file } of first.ledger)
      for (const name of ['imagesTr', 'labelsTr', 'changeTr', 'tumorsTr'])
        if (file !== undefined) writeFileSync(join(first.out, name, file), '')
    const more = await made(folder, 'out', { keepRejected: 2, variants: 6 })
    const kept = more.ledger.filter(({ rejectedFile }) => rejectedFile !== undefined)
    for (const id of ['a', 'b']) expect(kept.filter((line) => line.case === id).length).toBeLessThanOrEqual(1)
    expect(kept).toEqual(
      expect.arrayContaining(first.ledger.filter(({ rejectedFile }) => rejectedFile !== undefined)),
    )
  })
})

describe('reviews of an earlier synthesis', () => {
  it('keep a tumor that the rule rejects, and drop one that it accepts; others stay bit-identical', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'first', { keepRejected: 4 })
    const kept = shownRejected(first.ledger)
    const dropped = first.ledger.find(
      (line) => line.verdict === 'accepted' && (line.case !== kept.case || line.variant !== kept.variant),
    )!
    await review(first.out, kept, 'accept')
    await review(first.out, dropped, 'reject', { reason: 'edge' })
    const second = await made(folder, 'second', { keepRejected: 4, reviews: first.out })
    expect(at(second.ledger, kept)).toMatchObject({
      verdict: 'accepted',
      reason: 'review',
      review: 'accept',
      plan: kept.plan,
      file: expect.any(String),
    })
    expect(at(second.ledger, dropped)).toMatchObject({
      verdict: 'rejected',
      reason: 'review',
      review: 'reject',
    })
    expect(at(second.ledger, dropped)).not.toHaveProperty('file')
    // the tumor gets its next attempt
    expect(at(second.ledger, { ...dropped, attempt: dropped.attempt + 1 })).toBeDefined()
    const touched = new Set([kept, dropped].map((line) => `${line.case} ${line.variant}`))
    const untouched = ({ case: id, variant }: SynthesisLine): boolean => !touched.has(`${id} ${variant}`)
    expect(second.ledger.filter(untouched).map(factsOf)).toEqual(first.ledger.filter(untouched).map(factsOf))
    expect(second.result.reviews).toMatchObject({ kept: 1, dropped: 1, confirmed: 0, stale: 0, unused: 0 })
    expect(JSON.parse(readFileSync(join(second.out, 'reviews.json'), 'utf8'))).toEqual(second.result.reviews)
    expect(readFileSync(join(second.out, 'report.html'), 'utf8')).toContain('kept against the rule')
    expect(second.notes).toContain(
      'reviews: 1 kept against the rule, 1 dropped, 0 confirmed, 0 undecided, 0 unused',
    )
  })

  it('count confirmed, undecided, unused and stale decisions, and name the stale ones', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'first', { variants: 4 })
    const accepted = first.ledger.filter(({ verdict }) => verdict === 'accepted')
    const [one, tie, old] = accepted as [SynthesisLine, SynthesisLine, SynthesisLine]
    await review(first.out, one, 'accept')
    await review(first.out, tie, 'reject')
    await review(first.out, tie, 'accept', { reviewer: 'Bob' })
    await review(first.out, old, 'reject', { sha256: 'f'.repeat(64) })
    await review(first.out, one, 'accept', { case: 'elsewhere' })
    const second = await made(folder, 'second', {
      variants: 4,
      reviews: join(first.out, 'reviews.jsonl'),
    })
    const stale = [`${old.case} variant ${old.variant} tumor ${old.tumor}`]
    expect(second.result.reviews).toMatchObject({
      ...{ kept: 0, dropped: 0, confirmed: 1, undecided: 1, unused: 0, stale: 2 },
      firstStale: [...stale, `elsewhere variant ${one.variant} tumor ${one.tumor}`],
    })
    expect(second.notes.some((text) => text.includes(stale[0]!))).toBe(true)
    expect(second.ledger.map(({ verdict }) => verdict)).toEqual(first.ledger.map(({ verdict }) => verdict))
    expect(second.result.reviews!.agreement.pairs).toMatchObject([{ reviewers: ['Ada', 'Bob'], n: 1 }])
  })

  it('of a later attempt are unused once an earlier one is kept', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'first', { keepRejected: 4 })
    const kept = shownRejected(first.ledger)
    const later = first.ledger.find(
      (line) =>
        placeOf({ ...line, attempt: 0 }) === placeOf({ ...kept, attempt: 0 }) &&
        line.sha256 !== undefined &&
        line.attempt > kept.attempt,
    )!
    await review(first.out, kept, 'accept')
    await review(first.out, later, 'accept')
    const second = await made(folder, 'second', { keepRejected: 4, reviews: first.out })
    expect(second.result.reviews).toMatchObject({ kept: 1, confirmed: 0, unused: 1, stale: 0 })
  })

  it('of a host whose file has changed are stale', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'first')
    const line = first.ledger.find(({ verdict }) => verdict === 'accepted')!
    await review(first.out, line, 'reject')
    const hosts = hostsIn(folder, 'a', 'b')
    writeFileSync(hosts.find(({ id }) => id === line.case)!.image, 'other voxels')
    const second = await made(folder, 'second', { reviews: first.out }, hosts)
    expect(second.result.reviews).toMatchObject({ dropped: 0, stale: 1 })
  })

  it('add to the decisions that the reviewed synthesis applied itself', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'first')
    const [one, two] = first.ledger.filter(({ verdict }) => verdict === 'accepted') as [
      SynthesisLine,
      SynthesisLine,
    ]
    await review(first.out, one, 'reject')
    const second = await made(folder, 'second', { reviews: first.out })
    const again = second.ledger.find((line) => placeOf(line) === placeOf(two) && line.sha256 !== undefined)!
    await review(second.out, again, 'reject')
    const third = await made(folder, 'third', { reviews: second.out })
    expect(third.result.reviews).toMatchObject({ dropped: 2, stale: 0 })
    expect(at(third.ledger, one)).toMatchObject({ reason: 'review', verdict: 'rejected' })
  })

  it('are refused without their ledger, of other settings, and after an edit in a started folder', async () => {
    const folder = temporaryFolder()
    const first = await made(folder, 'first')
    const line = first.ledger.find(({ verdict }) => verdict === 'accepted')!
    await review(first.out, line, 'reject')
    const alone = join(folder, 'alone.jsonl')
    mkdirSync(join(folder, 'alone'))
    writeFileSync(alone, readFileSync(join(first.out, 'reviews.jsonl')))
    await expect(made(folder, 'second', { reviews: alone })).rejects.toThrow('no ledger next to it')
    await expect(made(folder, 'second', { reviews: first.out, seed: 4 })).rejects.toThrow(
      'reviews a synthesis of other settings (seed)',
    )
    await made(folder, 'second', { reviews: first.out })
    await review(first.out, line, 'undo')
    await expect(made(folder, 'second', { reviews: first.out })).rejects.toThrow(
      'holds a synthesis with other settings (reviews)',
    )
    await expect(made(folder, 'second')).rejects.toThrow('holds a synthesis with other settings (reviews)')
  })

  it('of a synthesis in shards give the ledger, counts and page of one without shards', async () => {
    const folder = temporaryFolder()
    const ids = ['a', 'b', 'c']
    const first = await made(folder, 'first', { keepRejected: 6 }, hostsIn(folder, ...ids))
    const kept = shownRejected(first.ledger)
    const dropped = first.ledger.find(({ verdict, case: id }) => verdict === 'accepted' && id !== kept.case)!
    await review(first.out, kept, 'accept')
    await review(first.out, dropped, 'reject', { reason: 'edge' })
    const change = { keepRejected: 6, reviews: first.out }
    const whole = await made(folder, 'whole', change, hostsIn(folder, ...ids))
    const out = join(folder, 'parted')
    const settings = synthesisSettings(configOf(folder, change))
    const notes: string[] = []
    const context = contextOf(folder, notes)
    for (const index of [2, 1]) {
      const shard = { index, count: 2 }
      await synthesizeCases({ settings, out, hosts: hostsIn(folder, ...ids), shard }, context)
    }
    const undone = readFileSync(join(first.out, 'reviews.jsonl'), 'utf8')
    await review(first.out, dropped, 'undo')
    await expect(mergeShardsAt(out, context)).rejects.toThrow('the reviews have changed since the shards')
    expect(existsSync(join(out, 'ledger.jsonl'))).toBe(false)
    writeFileSync(join(first.out, 'reviews.jsonl'), undone)
    const { result } = await mergeShardsAt(out, context)
    expect(result).toMatchObject({ reviews: { kept: 1, dropped: 1, stale: 0, unused: 0 } })
    expect(result).toEqual({ ...whole.result, directory: out })
    const ledger: SynthesisLine[] = []
    for await (const line of readJsonLog<SynthesisLine>(join(out, 'ledger.jsonl'))) ledger.push(line)
    const timeless = ({ time: _, ...line }: SynthesisLine): unknown => line
    expect(ledger.map(timeless)).toEqual(whole.ledger.map(timeless))
    for (const name of ['reviews.json', 'dataset.json'])
      expect(readFileSync(join(out, name), 'utf8')).toBe(readFileSync(join(whole.out, name), 'utf8'))
    expect(notes).toContain('reviews: 1 kept against the rule, 1 dropped, 0 confirmed, 0 undecided, 0 unused')
  })
})

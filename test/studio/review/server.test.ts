import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readReviews } from '../../../src/quality/reviews.js'
import type {
  CollectionList,
  ItemDetail,
  ItemTable,
  NewDecision,
  Reviews,
} from '../../../src/studio/review/messages.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { linesOf, serve, type TestServer } from '../runs.js'
import { type SyntheticSet, writeSyntheticSet, writeVolume } from './synthetic-set.js'

const read = async <T>(server: TestServer, path: string): Promise<T> =>
  (await (await server.get(path)).json()) as T
const idOf = async (server: TestServer, kind: string): Promise<string> => {
  const { collections } = await read<CollectionList>(server, '/api/collections')
  return collections.find((one) => one.kind === kind)!.id
}

interface Opened {
  readonly server: TestServer
  readonly path: string
  readonly table: ItemTable
  /** Return an item, by default at the present revision. */
  item(at: number): Promise<ItemDetail>
  decide(at: number, given?: Partial<NewDecision>): Promise<Response>
  reviews(): Promise<Reviews>
}

async function open(
  made: SyntheticSet,
  options: Parameters<typeof serve>[1] = { control: true },
): Promise<Opened> {
  const server = await serve(made.folder, options)
  const path = `/api/collections/${await idOf(server, 'synthetic')}`
  const table = await read<ItemTable>(server, path)
  return {
    server,
    path,
    table,
    item: (at) => read(server, `${path}/items/${at}?revision=${table.revision}`),
    decide: (at, given = {}) =>
      server.get(`${path}/reviews`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({
          revision: table.revision,
          at,
          reviewer: 'Ana',
          decision: 'accept',
          reason: null,
          seconds: 2.34,
          ...given,
        }),
      }),
    reviews: () => read(server, `${path}/reviews`),
  }
}

describe('the list of data', () => {
  test('has synthetic data sets, evaluations, audits and checks, at most three levels deep', async () => {
    const { folder } = writeSyntheticSet(temporaryFolder())
    for (const name of ['evaluation', 'audit', 'a/b/c/deep'])
      mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(join(folder, 'evaluation/summary.json'), '{}')
    writeFileSync(join(folder, 'evaluation/measures.jsonl'), '')
    writeFileSync(join(folder, 'audit/audit.json'), '{"pairs": []}')
    writeFileSync(join(folder, 'a/b/c/deep/audit.json'), '{"pairs": []}')
    writeFileSync(join(folder, 'my-findings.json'), '{"findings": []}')
    const { collections, folders } = await read<CollectionList>(await serve(folder), '/api/collections')
    expect(folders).toEqual([folder])
    expect(collections.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([
      'audit audit',
      'check my-findings.json',
      'evaluation evaluation',
      'synthetic set',
    ])
  })
})

describe('a synthetic data set', () => {
  test('has an item for each line of the ledger, with its texts and measures', async () => {
    const { table } = await open(writeSyntheticSet(temporaryFolder()))
    const column = (name: string): string[] =>
      table.texts[name]!.codes.map((code) => table.texts[name]!.values[code]!)
    expect(table.count).toBe(8)
    expect(column('verdict').filter((verdict) => verdict === 'rejected')).toHaveLength(2)
    expect(column('scan').slice(0, 3)).toEqual(['none', 'kept', 'kept'])
    expect(table.numbers['measure shareSeen']!.slice(1, 4)).toEqual([0.5, 0.51, 0.52])
    expect(Object.keys(table.texts)).not.toContain('sha256')
  })

  test('serves the files of an item as they are, with the place of its tumor', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const { server, path, table, item } = await open(made)
    const detail = await item(1)
    expect(detail.place).toEqual({ centreMm: made.tumors[0]!.centreMm, sizeMm: 6 })
    expect(detail.tumorId).toBe(1)
    expect(detail.labels).toEqual([
      { id: 1, name: 'liver', tumor: false },
      { id: 2, name: 'liver tumor', tumor: true },
    ])
    const files = {
      host: join(made.hosts, 'case_000.nii.gz'),
      synthetic: join(made.set, 'imagesTr/case_000_v000.nii.gz'),
      label: join(made.set, 'labelsTr/case_000_v000.nii.gz'),
      tumors: join(made.set, 'tumorsTr/case_000_v000.nii.gz'),
    }
    expect(detail.layers.map(({ role }) => role)).toEqual(Object.keys(files))
    for (const [role, file] of Object.entries(files)) {
      const answer = await server.get(`${path}/items/1/volumes/${role}?revision=${table.revision}`)
      expect(Buffer.from(await answer.arrayBuffer()).equals(readFileSync(file))).toBe(true)
    }
  })

  test('names the folder to add when the host is not below the given folders', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const elsewhere = temporaryFolder()
    renameSync(made.hosts, join(elsewhere, 'hosts'))
    const { server, path, table, item } = await open(made)
    const host = (await item(1)).layers.find(({ role }) => role === 'host')!
    expect(host).toMatchObject({ key: null, missing: { message: expect.stringContaining('case_000') } })
    expect(host.missing!.hint).toContain(`freetumor studio ${made.set} HOSTS_DIR`)
    const answer = await server.get(`${path}/items/1/volumes/host?revision=${table.revision}`)
    expect(answer.status).toBe(404)
  })

  test('does not take a scan with the name of the host and other bytes for the host', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    writeVolume(join(made.hosts, 'case_000.nii.gz'), 'int16', () => 0)
    const { item } = await open(made)
    expect((await item(1)).layers[0]).toMatchObject({ role: 'host', key: null })
    expect((await item(5)).layers[0]).toMatchObject({ role: 'host', missing: null })
  })

  test('shows lines that a running synthesis appends, and refuses numbers of a replaced ledger', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const { server, path, table } = await open(made)
    const ledger = join(made.set, 'ledger.jsonl')
    const [line] = readFileSync(ledger, 'utf8').split('\n')
    appendFileSync(ledger, `${line}\nno JSON\n`)
    const grown = await read<ItemTable>(server, path)
    expect([grown.count, grown.damagedLines, grown.revision]).toEqual([9, 1, table.revision])
    writeFileSync(`${ledger}.new`, `${line}\n`)
    renameSync(`${ledger}.new`, ledger)
    const answer = await server.get(`${path}/items/0?revision=${table.revision}`)
    expect(answer.status).toBe(409)
    const replaced = await read<ItemTable>(server, path)
    expect(replaced.count).toBe(1)
    const item = await read<ItemDetail>(server, `${path}/items/0?revision=${replaced.revision}`)
    expect(item.place?.sizeMm).toBe(6)
  })
})

describe('decisions', () => {
  test('are appended to reviews.jsonl before the answer, with the hash of the scan', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const { decide, reviews } = await open(made)
    expect((await decide(1)).status).toBe(200)
    expect((await decide(2, { decision: 'reject', reason: 'edge' })).status).toBe(200)
    const file = join(made.set, 'reviews.jsonl')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await readReviews(file)).toMatchObject([
      { reviewer: 'Ana', case: 'case_000', variant: 0, tumor: 0, decision: 'accept', seconds: 2.3 },
      { tumor: 1, sha256: made.tumors[1]!.sha256, decision: 'reject', reason: 'edge' },
    ])
    expect((await reviews()).decisions).toEqual([
      {
        at: 1,
        joint: 'accept',
        votes: [{ reviewer: 'Ana', decision: 'accept', reason: null }],
        stale: false,
      },
      {
        at: 2,
        joint: 'reject',
        votes: [{ reviewer: 'Ana', decision: 'reject', reason: 'edge' }],
        stale: false,
      },
    ])
    await decide(2, { decision: 'undo' })
    expect((await reviews()).decisions.map(({ at }) => at)).toEqual([1])
  })

  test('of two reviewers appear for both, with their agreement', async () => {
    const made = writeSyntheticSet(temporaryFolder(), 3, 4)
    const { decide, reviews, server, path, table } = await open(made)
    const kept = table.texts.scan!.codes.flatMap((code, at) =>
      table.texts.scan!.values[code] === 'kept' ? [at] : [],
    )
    const other = (place: number): 'accept' | 'reject' => (place < 2 ? 'reject' : 'accept')
    for (const [place, at] of kept.entries()) {
      await decide(at, { decision: place < 3 ? 'reject' : 'accept' })
      await decide(at, { reviewer: 'Ben', decision: other(place) })
    }
    const { agreement, decisions, version } = await reviews()
    // 12 tumors: 2 rejected by both, 9 accepted by both, 1 in dispute; expected agreement 0.25 * 2/12 + 0.75 * 10/12
    const expected = (3 / 12) * (2 / 12) + (9 / 12) * (10 / 12)
    expect(agreement).toMatchObject({ method: 'Cohen', items: 12, reviewers: 2 })
    expect(agreement!.kappa).toBeCloseTo((11 / 12 - expected) / (1 - expected), 12)
    expect(decisions.filter(({ joint }) => joint === 'undecided')).toHaveLength(1)
    expect(await read(server, `${path}/reviews?known=${encodeURIComponent(version)}`)).toBeNull()
    const csv = await (await server.get(`${path}/reviews.csv`)).text()
    expect(csv.trim().split('\n')).toHaveLength(25)
  })

  test('on another version of the scan are marked', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const { decide, reviews } = await open(made)
    await decide(1)
    const file = join(made.set, 'reviews.jsonl')
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(made.tumors[0]!.sha256, '0'.repeat(64)))
    expect((await reviews()).decisions).toMatchObject([{ at: 1, stale: true }])
  })

  test('go to the file of --reviews, also without --control', async () => {
    const made = writeSyntheticSet(temporaryFolder())
    const file = join(temporaryFolder(), 'mine.jsonl')
    const { decide, table } = await open(made, { reviews: file })
    expect(table.reviews).toBe(file)
    expect((await decide(1)).status).toBe(200)
    expect(await readReviews(file)).toHaveLength(1)
    expect(existsSync(join(made.set, 'reviews.jsonl'))).toBe(false)
  })

  test.each([
    ['changed', 'changed since its synthesis', (scan: string) => appendFileSync(scan, 'x')],
    ['was removed', 'no scan', (scan: string) => rmSync(scan)],
  ])('on a scan that %s since its synthesis are refused', async (_, message, change) => {
    const made = writeSyntheticSet(temporaryFolder())
    const { decide } = await open(made)
    change(join(made.set, 'imagesTr', 'case_000_v000.nii.gz'))
    const answer = await decide(1)
    expect(answer.status).toBe(422)
    expect(await answer.text()).toContain(message)
    expect(existsSync(join(made.set, 'reviews.jsonl'))).toBe(false)
  })

  test('on an attempt without a scan are refused', async () => {
    const { decide } = await open(writeSyntheticSet(temporaryFolder()))
    const answer = await decide(0)
    expect(answer.status).toBe(422)
    expect(await answer.text()).toContain('no scan')
  })
})

describe('an evaluation', () => {
  test('has cases and lesions, at the place of each lesion', async () => {
    const folder = temporaryFolder()
    const evaluation = join(folder, 'evaluation')
    mkdirSync(evaluation)
    const lesion = {
      kind: 'true',
      label: 2,
      volumeMl: 1.5,
      diameterMm: 14,
      centreMm: [1, 2, 3],
      matched: false,
    }
    const measured = {
      caseId: 'a',
      labels: [{ label: 2, dice: 0.25 }],
      tumor: { dice: 0.25 },
      lesions: [lesion],
    }
    writeFileSync(join(evaluation, 'summary.json'), '{}')
    writeFileSync(join(evaluation, 'measures.jsonl'), linesOf([measured]))
    writeVolume(join(folder, 'a.nii.gz'), 'uint8', () => 1)
    writeFileSync(
      join(evaluation, 'files.json'),
      JSON.stringify({
        labels: [{ id: 2, name: 'liver tumor', tumor: true }],
        cases: [
          { case: 'a', scan: null, label: join(folder, 'a.nii.gz'), prediction: '/elsewhere/a.nii.gz' },
        ],
      }),
    )
    const server = await serve(folder)
    const path = `/api/collections/${await idOf(server, 'evaluation')}`
    const table = await read<ItemTable>(server, path)
    expect(table.texts.kind!.codes.map((code) => table.texts.kind!.values[code])).toEqual([
      'whole case',
      'missed lesion',
    ])
    const detail = await read<ItemDetail>(server, `${path}/items/1?revision=${table.revision}`)
    expect(detail.place).toEqual({ centreMm: [1, 2, 3], sizeMm: 14 })
    expect(detail.layers.map(({ role, missing }) => [role, missing?.hint ?? null])).toEqual([
      ['scan', 'Repeat `freetumor evaluate` with --images.'],
      ['label', null],
      ['prediction', 'Add its folder: freetumor studio ... /elsewhere'],
    ])
  })
})

describe('an audit and a check', () => {
  test('have the scans of each pair and of each finding', async () => {
    const folder = temporaryFolder()
    const scan = join(folder, 'a.nii.gz')
    writeVolume(scan, 'int16', () => 0)
    mkdirSync(join(folder, 'audit'))
    const pair = { kind: 'near', cases: ['a', 'b'], leak: true, message: 'shared', offsetMm: [0, 0, 12] }
    writeFileSync(
      join(folder, 'audit/audit.json'),
      JSON.stringify({ pairs: [pair], files: { a: scan, b: join(folder, 'gone.nii.gz') } }),
    )
    const finding = { rule: 'specks', severity: 'warning', case: 'a', file: scan, placeMm: [4, 5, 6] }
    writeFileSync(join(folder, 'check.json'), JSON.stringify({ findings: [finding] }))
    const server = await serve(folder)
    const first = async (kind: string): Promise<ItemDetail> => {
      const path = `/api/collections/${await idOf(server, kind)}`
      const { revision } = await read<ItemTable>(server, path)
      return await read(server, `${path}/items/0?revision=${encodeURIComponent(revision)}`)
    }
    const audit = await first('audit')
    expect(audit.offsetMm).toEqual([0, 0, 12])
    expect(audit.layers.map(({ missing }) => missing?.message ?? null)).toEqual([
      null,
      `${join(folder, 'gone.nii.gz')}: file not found`,
    ])
    expect(await first('check')).toMatchObject({
      place: { centreMm: [4, 5, 6] },
      layers: [{ role: 'scan', missing: null }],
    })
  })
})

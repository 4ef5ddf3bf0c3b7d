import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CollectionList, ItemDetail, ItemTable } from '../../../src/studio/review/messages.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { serve, type TestServer } from '../runs.js'
import { type SyntheticSet, writeSyntheticSet } from './synthetic-set.js'

const SECRET = 'the text of a file outside'

interface Target extends SyntheticSet {
  readonly server: TestServer
  readonly path: string
  readonly revision: string
}

async function target(options: Parameters<typeof serve>[1] = { control: true }): Promise<Target> {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'secret.nii.gz'), SECRET)
  const made = writeSyntheticSet(join(folder, 'given'), 1, 2)
  const server = await serve(made.folder, options)
  const { collections } = (await (await server.get('/api/collections')).json()) as CollectionList
  const path = `/api/collections/${collections[0]!.id}`
  const { revision } = (await (await server.get(path)).json()) as ItemTable
  return { ...made, server, path, revision }
}

/** `ID` is the data set, `REV` its revision. */
const READS: readonly (readonly [name: string, status: number, path: string])[] = [
  ['a path in the place of a data set', 404, '/api/collections/..%2f..%2fsecret.nii.gz'],
  ['dots behind a data set', 404, '/api/collections/ID/items/1/volumes/..%2f..%2fsecret.nii.gz?revision=REV'],
  ['a role in capitals with a path', 404, '/api/collections/ID/items/1/volumes/host/../../../x?revision=REV'],
  ['an unknown role', 404, '/api/collections/ID/items/1/volumes/secret?revision=REV'],
  ['a key of a prototype as a role', 404, '/api/collections/ID/items/1/volumes/constructor?revision=REV'],
  ['a negative item', 404, '/api/collections/ID/items/-1?revision=REV'],
  ['an item behind the last one', 404, '/api/collections/ID/items/999999?revision=REV'],
  ['an item with too many digits', 404, '/api/collections/ID/items/10000000?revision=REV'],
  ['a fraction as an item', 404, '/api/collections/ID/items/1.5?revision=REV'],
  ['U+0000 behind an item', 404, '/api/collections/ID/items/1%00?revision=REV'],
  ['no revision', 409, '/api/collections/ID/items/1'],
  ['another revision', 409, '/api/collections/ID/items/1/volumes/host?revision=x'],
  ['a file of the data set by its name', 404, '/api/collections/ID/ledger.jsonl'],
]

const DECISION = { reviewer: 'Ana', decision: 'accept', reason: null, seconds: 1 }
const JSON_TYPE = { 'Content-Type': 'application/json' }

type WriteAttack = readonly [
  name: string,
  status: number,
  body: string,
  headers?: Readonly<Record<string, string>>,
]

/** Bodies that are refused, with the status. */
const WRITES: readonly WriteAttack[] = [
  ['a form of another site', 415, 'at=1', { 'Content-Type': 'application/x-www-form-urlencoded' }],
  ['JSON that is sent as text, without a preflight', 415, '{}', { 'Content-Type': 'text/plain' }],
  ['a foreign Origin', 403, '{}', { ...JSON_TYPE, Origin: 'https://evil.example' }],
  ['a request of another site', 403, '{}', { ...JSON_TYPE, 'Sec-Fetch-Site': 'cross-site' }],
  ['no token', 401, '{}', { ...JSON_TYPE, Authorization: '' }],
  [
    'an oversized body',
    413,
    JSON.stringify({ ...DECISION, at: 1, revision: 'REV', reason: 'x'.repeat(5000) }),
  ],
  ['no reviewer', 400, JSON.stringify({ ...DECISION, at: 1, revision: 'REV', reviewer: ' ' })],
  [
    'a long reviewer',
    400,
    JSON.stringify({ ...DECISION, at: 1, revision: 'REV', reviewer: 'x'.repeat(101) }),
  ],
  ['a long reason', 400, JSON.stringify({ ...DECISION, at: 1, revision: 'REV', reason: 'x'.repeat(501) })],
  ['an unknown decision', 400, JSON.stringify({ ...DECISION, at: 1, revision: 'REV', decision: 'delete' })],
  ['an unknown key', 400, JSON.stringify({ ...DECISION, at: 1, revision: 'REV', file: '/etc/passwd' })],
  ['a key for a prototype', 400, `{"at":1,"__proto__":{"x":1}}`],
  ['deep JSON', 400, '['.repeat(2000)],
  ['a negative time', 400, JSON.stringify({ ...DECISION, at: 1, revision: 'REV', seconds: -1 })],
  ['a path as an item', 400, JSON.stringify({ ...DECISION, at: '../1', revision: 'REV' })],
  ['an item behind the last one', 404, JSON.stringify({ ...DECISION, at: 99, revision: 'REV' })],
  ['another revision', 409, JSON.stringify({ ...DECISION, at: 1, revision: 'x' })],
]

describe('the viewer refuses', () => {
  test.each(READS)('to read %s', async (_, status, sent) => {
    const { server, path, revision } = await target()
    const url = sent.replace('/api/collections/ID', path).replace('REV', revision)
    const answer = await server.get(url)
    expect(await answer.text()).not.toContain(SECRET)
    expect(answer.status).toBe(status)
  })

  for (const [name, status, body, headers = JSON_TYPE] of WRITES)
    test(`as a decision: ${name}`, async () => {
      const { server, path, revision, set } = await target()
      const answer = await server.get(`${path}/reviews`, {
        method: 'POST',
        headers,
        body: body.replace('REV', revision),
      })
      expect(answer.status, await answer.text()).toBe(status)
      expect(existsSync(join(set, 'reviews.jsonl'))).toBe(false)
    })

  test('every decision without --control and without --reviews', async () => {
    const { server, path, revision, set } = await target({})
    const body = JSON.stringify({ ...DECISION, at: 1, revision })
    const answer = await server.get(`${path}/reviews`, { method: 'POST', headers: JSON_TYPE, body })
    expect(answer.status).toBe(403)
    expect(existsSync(join(set, 'reviews.jsonl'))).toBe(false)
  })

  test.each(['', '/items/1?revision=1', '/items/1/volumes/host?revision=1', '/reviews', '/reviews.csv'])(
    'data without the token: %s',
    async (rest) => {
      const { server, path } = await target()
      expect((await server.get(path + rest, { headers: { Authorization: '' } })).status).toBe(401)
    },
  )
})

describe('links and hostile files', () => {
  const volume = async ({ server, path, revision }: Target, role: string): Promise<Response> =>
    await server.get(`${path}/items/1/volumes/${role}?revision=${revision}`)

  test('a scan that links out of the folder is refused', async () => {
    const made = await target()
    const file = join(made.set, 'imagesTr/case_000_v000.nii.gz')
    rmSync(file)
    symlinkSync(join(made.folder, '../secret.nii.gz'), file)
    const answer = await volume(made, 'synthetic')
    expect([answer.status, (await answer.text()).includes(SECRET)]).toEqual([422, false])
  })

  test('a folder of labels that links out of the folder is refused', async () => {
    const made = await target()
    const outside = join(temporaryFolder(), 'labels')
    renameSync(join(made.set, 'labelsTr'), outside)
    symlinkSync(outside, join(made.set, 'labelsTr'))
    expect((await volume(made, 'label')).status).toBe(422)
  })

  test('a pipe in the place of a scan is refused and blocks nothing', async () => {
    const made = await target()
    const file = join(made.set, 'imagesTr/case_000_v000.nii.gz')
    rmSync(file)
    execFileSync('mkfifo', [file])
    expect((await volume(made, 'synthetic')).status).toBe(422)
  })

  test.each(['../../secret.nii.gz', '/etc/passwd', '..\\secret.nii.gz', 'secret.txt', '.hidden.nii.gz'])(
    'a ledger that names the file %s gives no volume',
    async (name) => {
      const made = await target()
      const ledger = join(made.set, 'ledger.jsonl')
      const text = readFileSync(ledger, 'utf8').replaceAll('"case_000_v000.nii.gz"', JSON.stringify(name))
      writeFileSync(`${ledger}.new`, text)
      renameSync(`${ledger}.new`, ledger)
      const { revision } = (await (await made.server.get(made.path)).json()) as ItemTable
      const answer = await volume({ ...made, revision }, 'synthetic')
      expect(await answer.text()).not.toContain(SECRET)
      expect(answer.status).toBe(404)
    },
  )

  test('a host outside the given folders is not read, even if hosts.json names it', async () => {
    const made = await target()
    const outside = join(temporaryFolder(), 'case_000.nii.gz')
    renameSync(join(made.hosts, 'case_000.nii.gz'), outside)
    writeFileSync(join(made.set, 'hosts.json'), JSON.stringify([{ case: 'case_000', image: outside }]))
    expect((await volume(made, 'host')).status).toBe(404)
    const detail = await made.server.get(`${made.path}/items/1?revision=${made.revision}`)
    const { layers } = (await detail.json()) as ItemDetail
    expect(layers[0]!.missing!.hint).toContain(join(outside, '..'))
  })

  test('decisions are not appended through a link out of the folder', async () => {
    const made = await target()
    const outside = join(temporaryFolder(), 'mine.jsonl')
    writeFileSync(outside, '')
    symlinkSync(outside, join(made.set, 'reviews.jsonl'))
    const body = JSON.stringify({ ...DECISION, at: 1, revision: made.revision })
    const answer = await made.server.get(`${made.path}/reviews`, { method: 'POST', headers: JSON_TYPE, body })
    expect([answer.status, readFileSync(outside, 'utf8')]).toEqual([422, ''])
  })

  test('decisions create no file behind a link to a missing one', async () => {
    const made = await target()
    const outside = join(temporaryFolder(), 'new.jsonl')
    symlinkSync(outside, join(made.set, 'reviews.jsonl'))
    const body = JSON.stringify({ ...DECISION, at: 1, revision: made.revision })
    const answer = await made.server.get(`${made.path}/reviews`, { method: 'POST', headers: JSON_TYPE, body })
    expect([answer.status, existsSync(outside)]).toEqual([422, false])
  })

  test('HEAD requests hold no volume open', async () => {
    const made = await target()
    writeFileSync(join(made.set, 'imagesTr', 'case_000_v000.nii.gz'), Buffer.alloc(2 ** 21))
    const url = `${made.path}/items/1/volumes/synthetic?revision=${made.revision}`
    for (let at = 0; at < 30; at++) expect((await made.server.get(url, { method: 'HEAD' })).status).toBe(405)
    expect((await volume(made, 'synthetic')).status).toBe(200)
  })

  test('a ledger with other measures in each line has at most 40 columns of them', async () => {
    const made = await target()
    const line = JSON.parse(readFileSync(join(made.set, 'ledger.jsonl'), 'utf8').split('\n')[0]!) as object
    const lines = Array.from({ length: 3000 }, (_, row) => {
      const names = Array.from({ length: 30 }, (_, at) => [`m${row}_${at}`, at])
      return JSON.stringify({ ...line, measures: Object.fromEntries(names) })
    })
    appendFileSync(join(made.set, 'ledger.jsonl'), `${lines.join('\n')}\n`)
    const table = (await (await made.server.get(made.path)).json()) as ItemTable
    expect(table.count).toBe(3003)
    expect(Object.keys(table.numbers).filter((name) => name.startsWith('measure '))).toHaveLength(40)
  })

  test('an audit that names a file outside the given folders gives no volume', async () => {
    const folder = temporaryFolder()
    const pair = { kind: 'exact', cases: ['a', '__proto__'], leak: false, message: '' }
    writeFileSync(
      join(folder, 'audit.json'),
      JSON.stringify({ pairs: [{ ...pair, cases: ['a', 'constructor'] }], files: { a: '/etc/passwd' } }),
    )
    const server = await serve(folder)
    const { collections } = (await (await server.get('/api/collections')).json()) as CollectionList
    const path = `/api/collections/${collections[0]!.id}`
    const { revision } = (await (await server.get(path)).json()) as ItemTable
    for (const role of ['first', 'second'])
      expect((await server.get(`${path}/items/0/volumes/${role}?revision=${revision}`)).status).toBe(404)
  })
})

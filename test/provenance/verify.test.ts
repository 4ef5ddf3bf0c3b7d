import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { DataError, UsageError } from '../../src/errors.js'
import { signDataset } from '../../src/provenance/resign.js'
import { readScanFacts } from '../../src/provenance/scan-facts.js'
import { verifyScans } from '../../src/provenance/verify.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { makeSignedSet, scanBytes } from './signed-set.js'

const SCAN = 'imagesTr/case_v001.nii.gz'

describe('verify of one file', () => {
  it('finds the manifest above the file', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const { files } = await verifyScans(join(folder, SCAN), { keys })
    expect(files).toMatchObject([{ path: join(folder, SCAN), state: 'authentic' }])
  })

  it('states of a moved file that it is marked, and authenticates it with its manifest', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const moved = join(temporaryFolder(), 'renamed.nii.gz')
    await copyFile(join(folder, SCAN), moved)
    const alone = await verifyScans(moved, { keys })
    expect(alone.files).toMatchObject([
      { state: 'unsigned', reason: 'no manifest (name it with --manifest)' },
    ])
    const manifest = join(folder, 'provenance.json')
    const { files } = await verifyScans(moved, { keys, manifest })
    expect(files).toMatchObject([{ state: 'authentic', reason: expect.stringContaining(`as ${SCAN}`) }])
  })

  it('finds changed voxels of a moved file by its own mark, without a manifest', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const bytes = gunzipSync(await readFile(join(folder, SCAN)))
    bytes[bytes.length - 1]! ^= 1
    const moved = join(temporaryFolder(), 'moved.nii.gz')
    await writeFile(moved, gzipSync(bytes))
    const { files } = await verifyScans(moved, { keys })
    expect(files).toMatchObject([{ state: 'altered', reason: 'voxels: not those of the mark' }])
  })

  it('calls a real scan unmarked, and one with the description alone unsigned', async () => {
    const { keys, host } = await makeSignedSet(temporaryFolder())
    expect((await verifyScans(host, { keys })).counts).toMatchObject({ unmarked: 1 })
    const described = join(temporaryFolder(), 'described.nii.gz')
    await writeFile(described, scanBytes(new Int16Array(120), 'another comment'))
    expect((await verifyScans(described, { keys })).files).toMatchObject([
      { state: 'unsigned', reason: 'the description is left, the mark was removed' },
    ])
  })

  it('refuses a manifest or a data set that is none', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const scan = join(folder, SCAN)
    await expect(verifyScans(scan, { keys, manifest: folder })).rejects.toThrow(
      `${folder}: not a regular file`,
    )
    const missing = join(temporaryFolder(), 'none')
    await expect(signDataset(missing, keys)).rejects.toThrow(
      `${join(missing, 'provenance.json')}: manifest not found`,
    )
  })

  it('refuses a missing path and a folder without scans', async () => {
    const folder = temporaryFolder()
    await expect(verifyScans(join(folder, 'none.nii'))).rejects.toThrow(DataError)
    await expect(verifyScans(folder)).rejects.toThrow(UsageError)
  })
})

describe('verify of a folder', () => {
  it('uses the manifest of each data set below it', async () => {
    const root = temporaryFolder()
    const first = await makeSignedSet(join(root, 'one'))
    await makeSignedSet(join(root, 'two'))
    await rm(join(root, 'one/host.nii.gz'))
    await rm(join(root, 'two/host.nii.gz'))
    const { counts } = await verifyScans(root, { keys: first.keys })
    // the second one is signed by a key that is not trusted
    expect(counts).toEqual({ authentic: 16, altered: 0, unsigned: 16, unmarked: 0 })
  })

  it('ignores missing files outside the folder', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    await rm(join(folder, 'labelsTr/case_v000.nii.gz'))
    const { counts } = await verifyScans(join(folder, 'imagesTr'), { keys })
    expect(counts).toEqual({ authentic: 3, altered: 0, unsigned: 0, unmarked: 0 })
  })

  it('reports each file to a callback, and keeps none', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const seen: string[] = []
    const { files } = await verifyScans(folder, { keys, onFile: ({ state }) => seen.push(state) })
    expect([seen.length, files.length]).toEqual([16, 0])
  })
})

describe('a hostile manifest', () => {
  const hostile: Record<string, (text: string) => string> = {
    'a path outside the data set': (text) => text.replaceAll(SCAN, '../../etc/passwd'),
    'an absolute path': (text) => text.replaceAll(SCAN, '/etc/passwd'),
    'deep nesting': (text) => text.replace('"reviews": null', `"reviews": ${'['.repeat(5000)}`),
    'a line above 1 MiB': (text) => text.replace('"reviews": null', `"reviews": "${'x'.repeat(2 ** 21)}"`),
    'an unknown part': (text) => text.replace('"reviews": null', '"other": null'),
    'the same part twice': (text) => text.replace('"reviews": null,', '"reviews": null,\n  "reviews": null,'),
    'the key __proto__': (text) => text.replace('"reviews": null', '"reviews": {"__proto__": 1}'),
    'the same file twice': (text) => text.replace(/( {4}\{"path".*\n)/, '$1$1'),
    'another layout of the same JSON': (text) => JSON.stringify(JSON.parse(text)),
    'no content': () => '',
  }
  it.each(Object.keys(hostile))('is altered, and no file is authentic: %s', async (name) => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const path = join(folder, 'provenance.json')
    await writeFile(path, hostile[name]!(await readFile(path, 'utf8')))
    const { files, counts } = await verifyScans(folder, { keys })
    expect(counts.authentic).toBe(0)
    expect(files.find((file) => file.path === path)).toMatchObject({ state: 'altered' })
  })
})

describe('a hostile extension', () => {
  const mark = (text: string) => scanBytes(new Int16Array(120), `{"format":"freetumor mark 1",${text}`)
  it.each([
    ['deep nesting', mark('['.repeat(3000))],
    ['a text above 4096 bytes', mark(`"synthetic":true,"kind":"${'x'.repeat(8000)}"}`)],
    ['missing fields', mark('"synthetic":true}')],
  ])('is no mark: %s', async (_, bytes) => {
    const path = join(temporaryFolder(), 'scan.nii.gz')
    await writeFile(path, bytes)
    expect(await readScanFacts(path)).toMatchObject({ mark: null, hasMore: true })
  })

  it('with a size beyond the file is stray bytes', async () => {
    const path = join(temporaryFolder(), 'scan.nii.gz')
    const bytes = gunzipSync(scanBytes(new Int16Array(120), 'a comment'))
    bytes.writeInt32LE(2 ** 30, 352)
    await writeFile(path, gzipSync(bytes))
    expect(await readScanFacts(path)).toMatchObject({ mark: null, hasMore: true })
  })
})

describe('key sign', () => {
  it('signs a verified data set, and refuses an altered one', async () => {
    const { folder, keys } = await makeSignedSet(temporaryFolder())
    const path = join(folder, 'provenance.json')
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(/"signature": .*/, '"signature": null'))
    expect((await verifyScans(folder, { keys })).counts).toMatchObject({ authentic: 0, unsigned: 16 })
    await signDataset(folder, keys)
    expect(await readFile(path, 'utf8')).toBe(text)
    await mkdir(join(folder, 'aside'))
    await rename(join(folder, SCAN), join(folder, 'aside/scan.nii.gz'))
    await expect(signDataset(folder, keys)).rejects.toThrow(DataError)
  })
})

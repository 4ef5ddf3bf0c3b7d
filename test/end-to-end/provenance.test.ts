import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { filesIn } from '../helpers/files-in.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('freetumor synthesize', () => {
  it('marks and signs what it writes; also after earlier files without marks, and without a key', async () => {
    const folder = temporaryFolder()
    const options = { cwd: folder, env: { FREETUMOR_KEYS: join(folder, 'keys') } }
    await runCli(['phantom', '--out', 'hosts', '--cases', '1', '--size', '48'], options)
    const synthesize = [
      ...['synthesize', '--images', 'hosts', '--region', 'abdomen', '--organs', 'liver', '--out', 'set'],
      ...['--licence', 'CC BY-SA 4.0', '--keep-rejected', '1'],
    ]
    const unsigned = await runCli([...synthesize, '--variants', '1'], options)
    expect(unsigned.code, unsigned.stderr).toBe(0)
    expect(unsigned.stderr).toContain('create one with `freetumor key create`')
    const before = await runCli(['verify', 'set', '--output', 'json'], options)
    const states = (text: string) => JSON.parse(text).files.map(({ state }: { state: string }) => state)
    expect([before.code, new Set(states(before.stdout))]).toEqual([3, new Set(['unsigned'])])

    // a folder of an earlier version: no mark, no manifest
    for (const [path] of filesIn(join(folder, 'set')))
      if (path.endsWith('.nii.gz') && !path.includes('imagesTr')) removeMark(join(folder, 'set', path))
    rmSync(join(folder, 'set/provenance.json'))
    await runCli(['key', 'create'], options)
    const resumed = await runCli([...synthesize, '--variants', '2'], options)
    expect(resumed.code, resumed.stderr).toBe(0)
    const verified = await runCli(['verify', 'set', '--output', 'json'], options)
    expect(verified.code, verified.stdout).toBe(0)
    const manifest = JSON.parse(readFileSync(join(folder, 'set/provenance.json'), 'utf8'))
    expect(manifest.files).toHaveLength(8)
    expect(manifest.files.filter(({ mark }: { mark: string | null }) => mark === null)).toHaveLength(3)
    expect(manifest.licence).toMatchObject({ name: 'CC BY-SA 4.0', shareAlike: true, unstated: [] })
    const list = JSON.parse(readFileSync(join(folder, 'set/dataset.json'), 'utf8'))
    expect(list).toMatchObject({
      synthetic: true,
      provenance: { manifest: 'provenance.json', licence: 'CC BY-SA 4.0' },
    })
  })

  it('refuses hosts whose licence forbids derivatives, and writes nothing', async () => {
    const folder = temporaryFolder()
    const options = { cwd: folder }
    await runCli(['phantom', '--out', 'Dataset003_Liver', '--cases', '1', '--size', '32'], options)
    const argv = ['synthesize', '--images', 'Dataset003_Liver', '--region', 'abdomen', '--out', 'set']
    const refused = await runCli(argv, options)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('error: synthesize: a licence forbids derivatives')
    expect(refused.stderr).toContain('Dataset003_Liver: CC BY-NC-ND 4.0 (LiTS)')
    expect(filesIn(folder).filter(([name]) => name.startsWith('set'))).toEqual([])
  })
})

/** Remove the extension of a file, as earlier versions wrote none. */
function removeMark(path: string): void {
  const bytes = gunzipSync(readFileSync(path))
  const header = Buffer.from(bytes.subarray(0, 352))
  const voxels = bytes.subarray(header.readFloatLE(108))
  header.fill(0, 348)
  header.writeFloatLE(352, 108)
  writeFileSync(path, gzipSync(Buffer.concat([header, voxels])))
}

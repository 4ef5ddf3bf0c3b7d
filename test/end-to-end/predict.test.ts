import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { writePhantomDataset } from '../../src/phantom/dataset.js'
import { readNifti } from '../../src/volume/nifti.js'
import { type Finished, runCli, startCli } from '../helpers/cli.js'
import { runPython } from '../helpers/python.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Runs the command until it has told of a mask. */
async function killAfterOneMask(argv: readonly string[]): Promise<Finished> {
  const { child, finished } = startCli([...argv, '--output', 'ndjson'])
  child.stdout?.once('data', () => child.kill('SIGKILL'))
  return finished
}

function masksIn(out: string): Record<string, string> {
  const names = readdirSync(out).filter((name) => name.endsWith('.nii.gz'))
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(out, name)).toString('base64')]))
}

describe('freetumor predict', () => {
  test('writes whole masks on the grids of the scans, past a damaged one, the same by ranks that were killed in between', async () => {
    const folder = temporaryFolder()
    runPython('test/fixtures/make_segmentor.py', folder)
    await writePhantomDataset({
      out: join(folder, 'data'),
      cases: 4,
      region: 'abdomen',
      sizeVoxels: 48,
      seed: 1,
    })
    const images = join(folder, 'data', 'imagesTr')
    writeFileSync(join(images, 'torn.nii.gz'), readFileSync(join(images, readdirSync(images)[0]!)))
    truncateSync(join(images, 'torn.nii.gz'), 2000)
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    const flags = [
      'predict',
      '--checkpoint',
      join(folder, 'a.pt'),
      '--images',
      images,
      '--threads',
      '1',
      '--overlap',
      '0.5',
    ]

    const done = await runCli([...flags, '--out', whole, '--output', 'json'])
    expect(done.code, done.stderr).toBe(3)
    const told = JSON.parse(done.stdout)
    expect(told.cases).toHaveLength(4)
    expect(told.failed).toEqual([
      {
        caseId: 'torn',
        error: expect.objectContaining({ kind: 'data', message: expect.stringMatching(/torn\.nii\.gz/) }),
      },
    ])
    for (const { output, labelVoxels } of told.cases) {
      const mask = await readNifti(output)
      const scan = await readNifti(join(images, output.slice(whole.length + 1)))
      expect([mask.shape, mask.affine]).toEqual([scan.shape, scan.affine])
      expect(mask.data).toBeInstanceOf(Uint8Array)
      expect(Array.from(mask.data).filter((id) => id === 2).length).toBe(labelVoxels[2])
    }

    const ranks = [...flags, '--out', parts, '--workers', '2']
    const killed = await killAfterOneMask(ranks)
    expect(killed.signal).toBe('SIGKILL')
    const ended = await runCli(ranks)
    expect(ended.stderr).toMatch(/^[1-4] of 5 masks already written/)
    expect(ended.code, ended.stderr).toBe(3)
    expect(masksIn(parts)).toEqual(masksIn(whole))
    expect(readdirSync(parts).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

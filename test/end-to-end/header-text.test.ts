import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { packageRoot, resolvePython } from '../../src/runtime/python.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const WORD = 'CANARYXQ'
const isFound = (bytes: Buffer): boolean => bytes.includes(WORD.slice(0, 6))

/** The files of a folder that hold the word, gzip files decoded. */
function filesWithWord(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => {
      const content = readFileSync(path)
      return isFound(content) || (path.endsWith('.gz') && isFound(gunzipSync(content)))
    })
}

it('no command repeats a word of the headers that it reads, in a file or on the screen', async () => {
  const folder = temporaryFolder()
  const hosts = join(folder, 'hosts')
  await runCli(['phantom', '--out', hosts, '--cases', '2', '--size', '48', '--seed', '5'])
  const [images, labels] = ['imagesTr', 'labelsTr'].map((name) => join(hosts, name)) as [string, string]
  const program = join(packageRoot, 'scripts/faults/canaried_nifti.py')
  execFileSync(resolvePython(), [program, WORD, images, labels])
  const scans = readdirSync(images).filter((name) => name.endsWith('.gz'))
  const analyze = join(folder, 'analyze')
  expect(filesWithWord(images)).toHaveLength(scans.length)
  expect(filesWithWord(analyze)).toHaveLength(1)

  const label = join(labels, scans[0]!)
  const out = join(folder, 'out')
  const small = ['--set', 'simulation.texture.sizeVoxels=[112,112,112]', 'simulation.texture.count=1']
  const onLiver = ['--region', 'abdomen', '--organs', 'liver', '--variants', '1']
  const commands = [
    ['data', 'check', hosts, '--output', 'json'],
    [
      'data',
      'import',
      '--lists',
      hosts,
      '--root',
      folder,
      '--measure',
      '--out',
      join(folder, 'manifest.json'),
    ],
    [
      'data',
      'remap',
      '--labels',
      label,
      '--map',
      '1:5,2:6,3:3,4:4,5:1,6:2',
      '--out',
      join(folder, 'remapped.nii.gz'),
    ],
    [
      'simulate',
      '--labels',
      label,
      '--organ',
      '1',
      '--size',
      'tiny',
      '--tumors',
      '2',
      '--write-masks',
      '1',
    ].concat(['--out', join(folder, 'simulated')]),
    ['synthesize', '--images', images, '--labels', labels, ...onLiver, '--out', out, ...small],
  ]
  const refused = await runCli(['data', 'check', join(analyze, 'scan.nii')])
  expect(refused.code).toBe(3)
  const done = []
  for (const command of commands) done.push(await runCli(command, { cwd: folder }))
  expect(done.map(({ code, stderr }) => (code === 0 || code === 3 ? 0 : stderr))).toEqual(
    commands.map(() => 0),
  )
  for (const { stdout, stderr } of [refused, ...done])
    expect(isFound(Buffer.from(stdout + stderr))).toBe(false)
  expect(readdirSync(join(out, 'imagesTr'))).toHaveLength(scans.length)
  expect(
    filesWithWord(folder).filter((path) => !path.startsWith(hosts) && !path.startsWith(analyze)),
  ).toEqual([])
})

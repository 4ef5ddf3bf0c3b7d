import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { commandsFor } from '../../src/cli/commands/all.js'
import { runProgram } from '../../src/cli/program.js'
import { writePhantomDataset } from '../../src/phantom/dataset.js'
import { memoryIo } from '../helpers/cli.js'
import { keptFolder, temporaryFolder } from '../helpers/temporary.js'

const root = keptFolder()
const set = join(root, 'set')
const labels = join(set, 'labelsTr')
const label = join(labels, 'phantom_000.nii.gz')
// no command may come so far as to read these
const weights = join(root, 'model.pt')
const script = join(root, 'script.py')
const data = ['--set', `data.root=${join(root, 'data')}`, '--set', `prepare.cache=${join(root, 'cache')}`]

beforeAll(async () => {
  await writePhantomDataset({ out: set, region: 'abdomen', sizeVoxels: 32, seed: 1, cases: 2 })
  for (const file of [weights, script]) writeFileSync(file, 'unreadable')
})

const OUTPUTS: readonly (readonly [command: string, ...argv: string[]])[] = [
  ['calibrate', '--predictions', labels, '--labels', labels],
  ['checkpoint', 'convert', weights, '--to', 'safetensors'],
  ['data', 'audit', set],
  ['data', 'check', set],
  ['data', 'import', set],
  ['data', 'remap', '--labels', label, '--map', 'region'],
  ['data', 'split', set, '--folds', '2'],
  ['demo'],
  ['evaluate', '--predictions', labels, '--labels', labels, '--profile', 'freetumor'],
  ['export', weights, '--to', 'torchscript'],
  ['export', set, '--to', 'decathlon', '--folds', '2'],
  ['hard-negatives', '--predictions', labels, '--dataset', 'hosts'],
  ['init', '--region', 'abdomen', '--job', 'baseline'],
  ['launch', script],
  ['organs', '--images', join(set, 'imagesTr'), '--with', 'checkpoint', weights],
  ['phantom', '--cases', '1', '--region', 'abdomen', '--size', '32'],
  ['predict', '--checkpoint', weights, '--images', join(set, 'imagesTr')],
  ['readers', 'create', '--real', set, '--synthetic', set, '--cases', '2'],
  ['realism', set, set],
  ['simulate', '--labels', label, '--organ', 'liver', '--size', 'tiny', '--tumors', '1'],
  ['synthesize', '--config', 'debug-segmentation', ...data],
  ['train', '--config', 'debug-baseline', ...data],
]

/** Commands without Python that write a file, or a folder as a whole. */
const CREATED: readonly (readonly [command: string, ...argv: string[]])[] = [
  ['data', 'import', set],
  ['data', 'remap', '--labels', label, '--map', 'region'],
  ['data', 'split', set, '--folds', '2'],
  ['export', set, '--to', 'decathlon', '--folds', '2'],
  ['init', '--region', 'abdomen', '--job', 'baseline'],
  ['phantom', '--cases', '1', '--region', 'abdomen', '--size', '32'],
]

async function run(argv: readonly string[], out: string) {
  const io = memoryIo()
  // words after the script of `launch` are its arguments
  const whole = argv[0] === 'launch' ? ['launch', '--out', out, ...argv.slice(1)] : [...argv, '--out', out]
  const code = await runProgram(await commandsFor(whole), whole, io)
  return { code, stderr: io.stderr.join('\n') }
}

test.each(OUTPUTS)('%s %s: an --out that cannot be created is named before any work', async (...argv) => {
  const file = join(root, 'file')
  writeFileSync(file, 'stays')
  for (const out of [join(file, 'out.nii.gz'), '/proc/out.nii.gz']) {
    const { code, stderr } = await run(argv, out)
    expect(stderr).toContain(`error: ${out}: cannot be written (`)
    expect(stderr).toContain('hint: ')
    expect(code).toBe(4)
  }
  expect(readFileSync(file, 'utf8')).toBe('stays')
  expect([join(root, 'data'), join(root, 'cache')].filter((path) => existsSync(path))).toEqual([])
})

test.each(CREATED)('%s %s: missing parents of --out are created', async (...argv) => {
  const out = join(temporaryFolder(), 'new/below/out.nii.gz')
  const { code, stderr } = await run(argv, out)
  expect(code, stderr).toBe(0)
  expect(existsSync(out)).toBe(true)
})

test.each([
  ['data', 'import', join(root, 'none')],
  ['data', 'remap', '--labels', label, '--map', '1:1'],
  ['data', 'split', set, '--folds', '2', '--keep', join(root, 'none')],
  ['export', set, '--to', 'decathlon', '--folds', '9'],
])('%s %s: an error leaves no parent of --out', async (...argv) => {
  const { code, stderr } = await run(argv, join(root, 'none/new/out.nii.gz'))
  expect(code, stderr).toBe(3)
  expect(existsSync(join(root, 'none'))).toBe(false)
})

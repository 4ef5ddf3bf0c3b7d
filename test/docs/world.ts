import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writePhantomDataset } from '../../src/phantom/dataset.js'
import { packageRoot } from '../../src/runtime/python.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import { filled } from '../helpers/nifti-fixtures.js'
import { runPython } from '../helpers/python.js'

const REGION_IDS = '{ "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6 }'

/** A configuration of the job with data, networks and steps so small that a training takes seconds. */
export function smallConfig(job: string): string {
  const painted = job === 'baseline' ? '' : '    - { name: MyHealthyScans, role: host, labelMap: MAP }\n'
  const weights =
    job === 'baseline'
      ? ''
      : '  baseline: { checkpoint: baseline.pt }\n  generator: { checkpoint: generator.pt, baseChannels: 2 }\n'
  return `job: ${job}
region: abdomen
data:
  root: data
  datasets:
    - { name: MyTumors, role: labelled, labelMap: MAP }
${painted}prepare: { workers: 1 }
simulation: { texture: { sizeVoxels: [64, 64, 64], count: 1 } }
sampling: { patchVoxels: [32, 32, 32], cropsPerVolume: 2, itemsPerStep: 1, workers: 1 }
networks:
  segmentor: { kind: small, featureSize: 4, levels: 2 }
${weights}training: { steps: 4, warmupSteps: 1 }
runtime: { device: cpu }
`.replaceAll('MAP', REGION_IDS)
}

/** A folder with everything that the pages presuppose: data, configurations, weights, a script, and the commands on its PATH. */
export async function makeWorld(world: string): Promise<void> {
  await writePhantoms(world, 'MyTumors', 0)
  await writePhantoms(world, 'MyHealthyScans', 2)
  copyCases(world, 'imagesTr', 'scans')
  for (const folder of ['labels', 'organs']) copyCases(world, 'labelsTr', folder)
  await writeNifti(
    join(world, 'kits.nii.gz'),
    filled(Uint8Array, [8, 8, 8], (i) => i % 4),
  )
  for (const job of ['baseline', 'segmentation']) writeFileSync(join(world, `${job}.yaml`), smallConfig(job))
  runPython('test/fixtures/make_warm_checkpoints.py', world, ['liver-tumor'])
  for (const fold of ['fold0.pt', 'fold1.pt']) copyFileSync(join(world, 'baseline.pt'), join(world, fold))
  copyFileSync(join(packageRoot, 'test/fixtures/scripts/trains.py'), join(world, 'my_train.py'))
  mkdirSync(join(world, 'node_modules'))
  symlinkSync(packageRoot, join(world, 'node_modules/freetumor'))
  symlinkSync(join(packageRoot, 'scripts'), join(world, 'scripts'))
  writeCommands(world)
}

/** The phantoms' files under the names of the pages. */
function copyCases(world: string, from: string, to: string): void {
  mkdirSync(join(world, to))
  for (const [phantom, name] of [
    ['phantom_000', 'case_001'],
    ['phantom_001', 'case_002'],
  ])
    copyFileSync(join(world, 'data/MyTumors', from, `${phantom}.nii.gz`), join(world, to, `${name}.nii.gz`))
}

/** Two labelled phantoms, or with hosts healthy ones. */
function writePhantoms(world: string, name: string, hosts: number): Promise<void> {
  const out = join(world, 'data', name)
  mkdirSync(join(world, 'data'), { recursive: true })
  return writePhantomDataset({ out, cases: 2, hosts, region: 'abdomen', sizeVoxels: 40, seed: 1 + hosts })
}

/** `npx` and `freetumor` for the shell. After `freetumor init`, the small configuration replaces the written one. */
function writeCommands(world: string): void {
  mkdirSync(join(world, 'bin'))
  const program = `"${process.execPath}" "${join(packageRoot, 'dist/cli/start.js')}"`
  const commands = {
    npx: 'exec "$@"',
    freetumor: `${program} "$@" || exit $?
if [ "$1" = init ]; then
  file=$(ls -t *.yaml | head -1)
  cp "small/$(sed -n 's/^job: //p' "$file").yaml" "$file"
fi`,
  }
  for (const [name, text] of Object.entries(commands)) {
    writeFileSync(join(world, 'bin', name), `#!/bin/sh\n${text}\n`)
    chmodSync(join(world, 'bin', name), 0o755)
  }
  mkdirSync(join(world, 'small'))
  for (const job of ['baseline', 'synthesis', 'segmentation'])
    writeFileSync(join(world, `small/${job}.yaml`), smallConfig(job))
}

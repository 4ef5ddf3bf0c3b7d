import { access, copyFile, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type ConfigInput, writePhantomDataset } from 'freetumor'
import { makeFolder } from '../../dist/whole-file.js'
import type { Cell, Plan } from './plan.js'

/** Folders of the data of an experiment. */
export interface World {
  readonly root: string
  readonly cache: string
  readonly testImages: string
  readonly testLabels: string
  /** Real hosts that are mixed with the phantoms; null: none. */
  readonly realHosts: string | null
}

const SIDE_VOXELS = 64

/**
 * One organ, the liver: the other organs are there, with confounders, but are background. Ids of the phantoms -> ids of the
 * region, with which a target of one organ is trained.
 */
export const LIVER_ONLY = { '1': 1, '2': 2, '3': 0, '4': 0, '5': 0, '6': 0 } as const

const phantoms = (plan: Plan, difficulty: Plan['difficulty' | 'labelledDifficulty'] = plan.difficulty) =>
  ({
    region: 'abdomen',
    sizeVoxels: plan.sides?.phantom ?? SIDE_VOXELS,
    difficulty: difficulty ?? 'hard',
    tumorOrgans: ['liver'],
  }) as const
/** Number of the first host: labelled cases of the same seed lie below. */
const FIRST_HOST = 100

export async function makeWorld(out: string, plan: Plan, realData: string | null): Promise<World> {
  const root = join(resolve(out), 'data')
  await once(join(root, 'test'), (folder) =>
    writePhantomDataset({
      out: folder,
      ...phantoms(plan),
      cases: plan.test.sick + plan.test.healthy,
      hosts: plan.test.healthy,
      seed: plan.testSeed,
    }),
  )
  for (const seed of plan.seeds) {
    const most = Math.max(...plan.labelled)
    await once(labelledFolder(root, seed), (folder) =>
      writePhantomDataset({
        out: folder,
        ...phantoms(plan, plan.labelledDifficulty ?? plan.difficulty),
        cases: most,
        seed,
      }),
    )
    for (const count of plan.labelled) await writeFirstOf(labelledFolder(root, seed), count)
    await once(join(root, hostFolder(seed)), (folder) =>
      writePhantomDataset({
        out: folder,
        ...phantoms(plan),
        cases: plan.hosts,
        hosts: plan.hosts,
        seed,
        firstIndex: FIRST_HOST,
      }),
    )
  }
  return {
    root,
    cache: join(resolve(out), 'cache'),
    testImages: join(root, 'test', 'imagesTr'),
    testLabels: join(root, 'test', 'labelsTr'),
    realHosts: realData === null ? null : await takeRealHosts(root, realData),
  }
}

/** The data set of shrunk tumors of a cell, below the root of the data. */
export function shrunkFolder({ seed, labelled }: Cell): string {
  return join(`seed-${seed}`, `shrunk-${labelled}`)
}

/**
 * The `data` section of a run: the first labelled cases, and where wanted others with them: the hosts, or the copies of the labelled cases
 * with shrunk tumors.
 */
export function dataSection(
  world: World,
  seed: number,
  labelled: number,
  repeat: { readonly labelled: number; readonly host: number },
  others: 'none' | 'hosts' | 'shrunk',
): NonNullable<ConfigInput['data']> {
  const withHosts = others === 'hosts'
  const set = (name: string, role: 'labelled' | 'host', path: string, visits: number) => ({
    entry: { name, path, repeat: visits },
    described: {
      name,
      region: 'abdomen' as const,
      role: role === 'host' ? { kind: role } : { kind: role, organs: ['liver' as const] },
      labelMap: LIVER_ONLY,
    },
  })
  const sets = [
    set('labelled', 'labelled', join(`seed-${seed}`, 'labelled', `first-${labelled}.json`), repeat.labelled),
    ...(withHosts ? [set('hosts', 'host', hostFolder(seed), repeat.host)] : []),
    ...(others === 'shrunk'
      ? [set('shrunk', 'labelled', shrunkFolder({ seed, labelled }), repeat.host)]
      : []),
  ]
  const real =
    withHosts && world.realHosts !== null
      ? [{ name: 'real_hosts', path: world.realHosts, repeat: repeat.host, labelMap: 'TotalSegmentator' }]
      : []
  return {
    root: world.root,
    registry: [
      ...sets.map(({ described }) => described),
      ...real.map(({ name }) => ({ name, region: 'abdomen' as const, role: { kind: 'host' as const } })),
    ],
    datasets: [...sets.map(({ entry }) => entry), ...real],
  }
}

/** Write a list of the first cases of a folder: those of a smaller list are among those of a larger. */
async function writeFirstOf(folder: string, count: number): Promise<void> {
  const list = JSON.parse(await readFile(join(folder, 'dataset.json'), 'utf8')) as { training: unknown[] }
  const training = list.training.slice(0, count)
  const text = JSON.stringify({ ...list, numTraining: count, training, validation: [] })
  await writeFile(join(folder, `first-${count}.json`), text)
}

/** The real scans with a liver and no known tumor, as a data set of the experiment's own folder. */
async function takeRealHosts(root: string, realData: string): Promise<string> {
  const from = join(resolve(realData), 'totalsegmentator')
  const files = [
    ['imagesTr', 'example_ct.nii.gz'],
    ['labelsTr', 'example_seg_fast_force_split.nii.gz'],
  ] as const
  for (const [folder, file] of files) {
    await makeFolder(join(root, 'real', folder))
    await copyFile(join(from, file), join(root, 'real', folder, 'example_ct.nii.gz'))
  }
  return 'real'
}

function labelledFolder(root: string, seed: number): string {
  return join(root, `seed-${seed}`, 'labelled')
}

/** Return the folder of the host scans of a seed. */
export function hostImages({ root }: World, seed: number): string {
  return join(root, hostFolder(seed), 'imagesTr')
}

function hostFolder(seed: number): string {
  return join(`seed-${seed}`, 'hosts')
}

async function once(folder: string, make: (folder: string) => Promise<void>): Promise<void> {
  const there = await access(join(folder, 'dataset.json')).then(
    () => true,
    () => false,
  )
  if (!there) await make(folder)
}

/** Return the labelled cases of a cell. */
export async function labelledFiles(
  { root }: World,
  seed: number,
  count: number,
): Promise<{ readonly image: string; readonly label: string }[]> {
  const folder = labelledFolder(root, seed)
  const list = JSON.parse(await readFile(join(folder, `first-${count}.json`), 'utf8')) as {
    training: { image: string; label: string }[]
  }
  return list.training.map(({ image, label }) => ({ image: join(folder, image), label: join(folder, label) }))
}

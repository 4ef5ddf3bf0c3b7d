import { UsageError } from '../../errors.js'
import { nearestWord } from '../../suggestion.js'
import { IGNORED_LABEL, LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { background, DATASETS, type KidneySides, type LabelIdMap } from './registry.js'

/** A label map with a name. */
export interface Preset {
  readonly name: string
  /** Region of the target ids; null: a mask of one class, of no region. */
  readonly region: Region | null
  readonly map: LabelIdMap
  readonly aliases: readonly string[]
  readonly kidneySides?: KidneySides | undefined
}

/** Maps of segmentation tools and of the leaderboard; data sets of the registry join them by name. */
const TOOLS: readonly Preset[] = [
  {
    // tasks `total` and `total_v3` of version 2, which differ in one vertebra only; version 1 has other ids
    name: 'TotalSegmentator',
    region: 'abdomen',
    map: { ...background(117), '2': 5, '3': 5, '5': 1, '7': 3, '23': 5, '24': 5 },
    aliases: ['totalsegmentator-v2', 'totalsegmentator-v3', 'total', 'total-v3'],
    kidneySides: { left: 3, right: 2 },
  },
  {
    name: 'TotalSegmentator',
    region: 'chest',
    map: { ...background(117), '10': 1, '11': 1, '12': 1, '13': 1, '14': 1 },
    aliases: ['totalsegmentator-v2', 'totalsegmentator-v3', 'totalsegmentator-chest', 'total', 'total-v3'],
  },
  {
    name: 'TotalSegmentator-v1',
    region: 'abdomen',
    map: { ...background(104), '2': 5, '3': 5, '5': 1, '10': 3 },
    aliases: ['total-v1'],
    kidneySides: { left: 3, right: 2 },
  },
  {
    name: 'TotalSegmentator-v1',
    region: 'chest',
    map: { ...background(104), '13': 1, '14': 1, '15': 1, '16': 1, '17': 1 },
    aliases: ['total-v1'],
  },
  {
    // R231 and R231CovidWeb: 1 right, 2 left lung
    name: 'lungmask',
    region: 'chest',
    map: { '1': 1, '2': 1 },
    aliases: ['lungmask-r231'],
  },
  {
    name: 'lungmask-lobes',
    region: 'chest',
    map: { '1': 1, '2': 1, '3': 1, '4': 1, '5': 1 },
    aliases: ['lungmask-ltrclobes'],
  },
  {
    name: 'leaderboard',
    region: null,
    map: { '1': 0, '2': 1, '3': 0, '4': 1, '5': 0, '6': 1 },
    aliases: [],
  },
]

/** For labels whose ids are those of the region already, with ignored voxels. */
const REGION_IDS: readonly Preset[] = Object.values(LABEL_SCHEMES).map(({ region, names }) => ({
  name: 'region',
  region,
  map: Object.fromEntries([...names.keys(), IGNORED_LABEL].map((id) => [String(id), id])),
  aliases: [],
}))

export const PRESETS: readonly Preset[] = [
  ...REGION_IDS,
  ...TOOLS,
  ...DATASETS.flatMap(({ name, region, labelMap, aliases = [], kidneySides }) =>
    labelMap ? [{ name, region, map: labelMap, aliases, kidneySides }] : [],
  ),
]

/**
 * Return the preset of a name; case, dashes and underscores are ignored.
 * @param region selects the map if a preset has one per region; null selects the abdomen
 * @throws UsageError for an unknown name, or a preset of the other region
 */
export function findPreset(name: string, region: Region | null = null): Preset {
  const wanted = plain(name)
  const named = PRESETS.filter((preset) => [preset.name, ...preset.aliases].map(plain).includes(wanted))
  const fitting = named.find((preset) => region === null || (preset.region ?? region) === region)
  if (fitting) return fitting
  if (named.length > 0)
    throw new UsageError(
      `preset ${named[0]!.name}: wrong region (expected ${region}, found ${named[0]!.region})`,
      {
        hint: `choose a preset of the ${region} (${namesOf(region).join(', ')})`,
      },
    )
  const near = nearestWord(name, namesOf(region))
  throw new UsageError(`unknown preset ${name}`, {
    hint: near === undefined ? `choose a preset (${namesOf(null).join(', ')})` : `did you mean ${near}?`,
  })
}

function namesOf(region: Region | null): string[] {
  const fitting = PRESETS.filter((preset) => region === null || preset.region === region)
  return [...new Set(fitting.map((preset) => preset.name))]
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[-_ .]/g, '')
}

import type { RuntimeSection } from '../../config/sections/runtime.js'
import type { Split } from '../../curation/datasets/lists.js'
import type { KidneySides, LabelIdMap } from '../../curation/datasets/registry.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import type { Shard } from '../../curation/datasets/shard.js'
import { UsageError } from '../../errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import type { MergingOrder } from '../ports/checkpoint.js'
import { commandWords } from './tools.js'

/** A program that labels organs: a known tool, weights of our own kind, or any command with `{image}` and `{output}`. */
export type OrganSource =
  | 'totalsegmentator'
  | 'lungmask'
  | { readonly checkpoint: string }
  | { readonly command: string | readonly string[] }

export interface LabelOrgansOptions {
  /** Folder of scans, data set of any layout, one scan, or a list. */
  readonly images: string
  /** Folder for the label maps; an interrupted call is resumed. */
  readonly out: string
  readonly with: OrganSource
  /** Python of the environment of the tool. Default: that of the tool on PATH. */
  readonly toolPython?: string | undefined
  /** Task of TotalSegmentator (default `total`), or model of lungmask (default `R231`). */
  readonly task?: string | undefined
  /** Further arguments of the tool, such as `--fast`. */
  readonly toolArgs?: readonly string[] | undefined
  /** Label maps with tumors under the names of the scans, in ids of the region. A label in them wins over the tool's. */
  readonly labels?: string | undefined
  /** Ids of `labels`, if they are not those of the region: a preset, or `source:target,...`. */
  readonly labelsMap?: string | undefined
  /** Ids of the tool. Default: those of the tool's task; of a command, those of the region. */
  readonly map?: string | undefined
  /** Default: the chest for lungmask, else the abdomen. */
  readonly region?: Region | undefined
  readonly split?: Split | undefined
  /** Allow a list to name files outside its own folder. Default: false. */
  readonly allowOutside?: boolean | undefined
  /** Time limit of the tool for one case. Default: 3,600 s. */
  readonly limitSeconds?: number | undefined
  /** Number of cases in work at a time. Default: 1. */
  readonly workers?: number | undefined
  /** Device of a known tool or a checkpoint. Default: `auto`. */
  readonly device?: RuntimeSection['device'] | undefined
  /** Patch-merging order of a checkpoint that does not state it. */
  readonly patchMerging?: MergingOrder | undefined
  /** Set of weights of a checkpoint that holds several. */
  readonly weights?: string | undefined
  /** Overwrite existing label maps. */
  readonly overwrite?: boolean | undefined
  /** Label the scans of one shard only. */
  readonly shard?: Shard | undefined
  readonly onCase?: ((progress: OrganProgress) => void) | undefined
}

export interface OrganProgress {
  readonly done: number
  readonly total: number
  readonly caseId: string
  /** Null if the case failed. */
  readonly case: OrganCase | null
  readonly error: { readonly kind: string; readonly message: string; readonly hint: string } | null
}

export interface OrganCase {
  readonly caseId: string
  /** Path of the label map. */
  readonly output: string
  /** Holes that were filled in each organ. */
  readonly holes: Readonly<Record<string, { readonly count: number; readonly voxels: number }>>
  /** Voxels of each id of the tool, with its id of the region. Left and right organs have ids of their own here. */
  readonly sources: readonly { readonly source: number; readonly target: number; readonly voxels: number }[]
  readonly seconds: {
    readonly copy: number
    readonly tool: number
    readonly merge: number
    readonly check: number
  }
  /** Findings of the check that are no errors. */
  readonly findings: readonly { readonly rule: string; readonly severity: string; readonly message: string }[]
  /** The label map is from an earlier call with the same settings. */
  readonly reused: boolean
}

export const DEFAULT_LIMIT_SECONDS = 3600

/** The meaning of the ids that a tool writes. */
export interface ToolIds {
  readonly map: LabelIdMap
  readonly kidneySides: KidneySides | undefined
}

/**
 * Return the region of the labels.
 * @throws UsageError for a tool that has no organ of the region
 */
export function regionOfOrgans({ with: source, region, map }: LabelOrgansOptions): Region {
  if (source === 'lungmask' && region === 'abdomen' && map === undefined)
    throw new UsageError('lungmask: labels no organ of the abdomen (expected region chest)', {
      hint: 'pass --region chest, or --with totalsegmentator',
    })
  return region ?? (source === 'lungmask' ? 'chest' : 'abdomen')
}

/** Return the meaning of the ids of a map, or of a preset. */
export function idsOfMap(map: string, region: Region): ToolIds {
  const { labelMap, kidneySides } = labelMapOption(map, region)
  return { map: labelMap!, kidneySides }
}

/** Return ids that mean themselves. */
export function ownIds(region: Region): ToolIds {
  const ids = LABEL_SCHEMES[region].names.map((_, id) => [String(id), id])
  return { map: Object.fromEntries(ids), kidneySides: undefined }
}

/** @throws UsageError for options that contradict each other */
export function refuseContradictions(options: LabelOrgansOptions): void {
  const { with: source, toolPython, task, toolArgs = [], shard, overwrite, labels, labelsMap } = options
  const refuse = (flag: string, reason: string, hint: string): never => {
    throw new UsageError(`${flag}: ${reason}`, { hint })
  }
  const isKnown = typeof source === 'string'
  if (!isKnown && 'command' in source) commandWords(source.command, toolPython)
  if (!isKnown && task !== undefined)
    refuse('--task', 'only for totalsegmentator and lungmask', 'omit --task')
  if (!isKnown && toolArgs.length > 0)
    refuse('--tool-arg', 'only for totalsegmentator and lungmask', 'write the arguments into the command')
  if (!isKnown && 'checkpoint' in source && toolPython !== undefined)
    refuse('--tool-python', 'a checkpoint runs in the Python of freetumor', 'omit --tool-python')
  const changes = toolArgs.find((argument) => CHANGES_OUTPUT.test(argument))
  if (changes !== undefined)
    refuse('--tool-arg', `${changes} changes the files or ids of the tool`, 'use --task and --map')
  if (shard !== undefined && overwrite)
    refuse('--overwrite', 'cannot be used with --shard', 'remove the label maps, or choose another --out')
  if (labelsMap !== undefined && labels === undefined)
    refuse('--labels-map', 'there are no labels', 'pass --labels too, or omit --labels-map')
}

/** Arguments of TotalSegmentator and lungmask that freetumor sets, or that give the ids another meaning. */
const CHANGES_OUTPUT =
  /^(-i|-o|-ot|--output_type|-ta|--task|-v1o|--v1_order|--ml|-ml|--modelname|--noHU)(=|$)/

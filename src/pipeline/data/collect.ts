import { existsSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { loadConfig } from '../../config/load.js'
import type { RunConfig } from '../../config/schema.js'
import { shippedFile } from '../../config/shipped.js'
import { curate, ownDatasets } from '../../curation/datasets/curate.js'
import { leftOutLines } from '../../curation/datasets/file-names.js'
import {
  type Collected,
  collectCases,
  type ImportOptions,
  importCases,
  joined,
} from '../../curation/datasets/import.js'
import { isManifest, readManifest } from '../../curation/datasets/manifest.js'
import type { RefusedCase } from '../../curation/datasets/merged-labels.js'
import type { Dataset } from '../../curation/datasets/registry.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import type { FreetumorError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'

/** Options of all data functions: where data sets lie and the meaning of their ids. */
export interface SourceOptions {
  /** Listed paths are relative to it, to the folder of the data set, or to the list. Default: the working directory. */
  readonly root?: string | undefined
  /** Name of the data set in the registry, or `none`. Default: recognised by the name of its folder or list. */
  readonly as?: string | undefined
  /** Region of the label ids. Default: that of the registry, or of the names of the ids. */
  readonly region?: Region | undefined
  /** Map of label ids: `region`, a preset, or `source:target,...`. Default: that of the registry. */
  readonly map?: string | undefined
  /** Labels of the scans, if they lie apart: a data set, a folder, or the label of one scan. */
  readonly labels?: string | undefined
  /** Accept lists with files outside `root`, the folder of the data set and their own folder. Default: false. */
  readonly allowOutside?: boolean | undefined
  /** Relative paths start here. Default: the working directory. */
  readonly cwd?: string | undefined
  /** Receives notes and warnings, such as ids that count as background. */
  readonly onNote?: ((text: string, level: 'info' | 'warning') => void) | undefined
}

/** Options of work on many cases: threads, progress and stop. */
export interface WorkOptions {
  /** Number of cases in work at a time, each in a thread with one volume in memory. Default: cores, at most 8. */
  readonly workers?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

export interface CasesOfPaths extends Collected {
  /** Data sets of the configurations among the paths, and the last of these configurations. */
  readonly own: readonly Dataset[]
  readonly config: Pick<RunConfig, 'prepare' | 'sampling'> | null
}

interface ReadOptions extends SourceOptions, Pick<ImportOptions, 'labelFolder'> {
  /** Treatment of a data set of unknown region. Default: keep. */
  readonly unknown?: 'keep' | 'refuse'
}

/**
 * Return the cases at paths: data sets of any layout, lists, manifests (.json), configurations (.yaml) or names of shipped
 * configurations. Duplicate ids are kept.
 */
export async function casesAt(
  paths: readonly string[],
  { cwd = process.cwd(), ...options }: ReadOptions,
): Promise<CasesOfPaths> {
  const parts: CasesOfPaths[] = []
  for (const path of paths) parts.push(await casesOfPath(path, { ...options, cwd }))
  return {
    ...joined(parts),
    own: parts.flatMap((part) => part.own),
    config: parts.findLast((part) => part.config !== null)?.config ?? null,
  }
}

/** Return paths and the options that decide their cases, with absolute paths. */
export function decidingSources(
  paths: readonly string[],
  { cwd = process.cwd(), root, as, region, map, labels, allowOutside }: SourceOptions,
) {
  return {
    paths: paths.map((path) => configNamed(path, cwd) ?? resolve(cwd, path)),
    ...{ cwd, root, as, region, map, labels, allowOutside },
  }
}

async function casesOfPath(
  argument: string,
  {
    cwd,
    root,
    as,
    region,
    map,
    labels,
    allowOutside,
    labelFolder,
    unknown,
    onNote,
  }: ReadOptions & { readonly cwd: string },
): Promise<CasesOfPaths> {
  const configuration = configNamed(argument, cwd)
  if (configuration !== null) {
    const config = await loadConfig(configuration, { onNote: (text) => onNote?.(text, 'info') })
    const data = { ...config.data, allowOutside: allowOutside ?? config.data.allowOutside }
    const curation = await curate(data, config.region)
    return { ...NOTHING, ...curation, own: ownDatasets(config.data), config }
  }
  const path = resolve(cwd, argument)
  if (await isManifest(path)) return { ...NOTHING, cases: (await readManifest(path)).cases }
  const collect = unknown === 'refuse' ? importCases : collectCases
  const collected = await collect(path, {
    root: resolve(cwd, root ?? '.'),
    as,
    region,
    labels: labels === undefined ? undefined : resolve(cwd, labels),
    allowOutside,
    labelFolder,
    ...labelMapOption(map, region ?? null),
  })
  return { ...NOTHING, ...collected }
}

const ENDINGS = ['.yaml', '.yml', '.js', '.mjs']

/**
 * Return the name for `loadConfig` if an argument names a configuration; null for other files and folders. A file or folder
 * takes precedence over a shipped configuration of its name.
 */
export function configNamed(argument: string, cwd: string): string | null {
  const path = resolve(cwd, argument)
  if (ENDINGS.includes(extname(path))) return path
  return !existsSync(path) && shippedFile(argument) !== undefined ? argument : null
}

/** Return the folder of merged label maps next to a manifest. */
export function labelFolderOf(manifest: string): string {
  return manifest.replace(/(\.json)?$/, '-labels')
}

/**
 * Report what a data function found besides its cases.
 * @returns true if every scan was taken
 */
export function noteNotTaken(
  { notes, missing, leftOut, refused, unlabelled }: Omit<Collected, 'cases' | 'taken'>,
  onNote: SourceOptions['onNote'] = () => {},
): boolean {
  for (const note of notes) onNote(note, 'info')
  for (const { dataset, count, example } of missing)
    onNote(
      `${dataset}: ${counted(count, 'listed case', ['lacks', 'lack'])} a file, first ${example}`,
      'warning',
    )
  for (const text of leftOutLines(leftOut)) onNote(text, 'warning')
  noteRefused(refused, onNote)
  return leftOut.length + refused.length + unlabelled === 0
}

/** Number of refused cases that are named; the JSON output has all. */
const NAMED = 10

/** Report cases that cannot be taken, each with its reason. */
export function noteRefused(
  refused: readonly RefusedCase[],
  onNote: SourceOptions['onNote'] = () => {},
): void {
  for (const { id, error } of refused.slice(0, NAMED)) onNote(`case ${id}: ${withHint(error)}`, 'warning')
  const more = refused.length - NAMED
  if (more > 0)
    onNote(`${counted(more, 'further case', ['is', 'are'])} refused; \`--output json\` lists all`, 'warning')
}

function withHint({ message, commandHint }: FreetumorError): string {
  return `${message}${commandHint === undefined ? '' : `\nhint: ${commandHint}`}`
}

const NOTHING: CasesOfPaths = {
  cases: [],
  taken: [],
  missing: [],
  unlabelled: 0,
  refused: [],
  leftOut: [],
  notes: [],
  own: [],
  config: null,
}

import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { RunConfig } from '../../config/schema.js'
import { curate, ownDatasets } from '../../curation/datasets/curate.js'
import { leftOutLines } from '../../curation/datasets/file-names.js'
import {
  type Collected,
  collectCases,
  type ImportOptions,
  importCases,
} from '../../curation/datasets/import.js'
import { isManifest, readManifest } from '../../curation/datasets/manifest.js'
import type { Dataset } from '../../curation/datasets/registry.js'
import { labelMapOption } from '../../curation/datasets/remap.js'
import type { Region } from '../../volume/labels.js'
import { configNamed, readConfig } from '../config-file.js'
import type { CliIo } from '../output.js'
import { mapDescription, regionOption } from '../program.js'

/** Options of every data command that takes data sets. */
export interface SourceOptions {
  readonly root?: string
  readonly as?: string
  readonly region?: Region
  readonly map?: string
  readonly labels?: string
  readonly allowOutside?: boolean
}

/** Add the options for reading data sets. */
export function addSourceOptions(command: Command): Command {
  return command
    .option('--root <dir>', 'Search listed paths below this folder, too')
    .option('--as <name>', 'Select the data set of `data list` that this is, or none')
    .addOption(regionOption())
    .option('--map <map>', mapDescription())
    .option('--allow-outside', 'Accept lists that name files outside --root and their own folder')
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
 * Return the cases at paths: data sets of any layout, lists, manifests (.json) or configurations (.yaml).
 * Duplicate ids are kept.
 */
export async function casesAt(
  io: CliIo,
  paths: readonly string[],
  options: ReadOptions,
): Promise<CasesOfPaths> {
  const parts: CasesOfPaths[] = []
  for (const path of paths) parts.push(await casesOfPath(io, path, options))
  return {
    cases: parts.flatMap((part) => part.cases),
    taken: parts.flatMap((part) => part.taken),
    missing: parts.flatMap((part) => part.missing),
    unlabelled: parts.reduce((sum, part) => sum + part.unlabelled, 0),
    refused: parts.flatMap((part) => part.refused),
    leftOut: parts.flatMap((part) => part.leftOut),
    notes: parts.flatMap((part) => part.notes),
    own: parts.flatMap((part) => part.own),
    config: parts.findLast((part) => part.config !== null)?.config ?? null,
  }
}

async function casesOfPath(
  io: CliIo,
  argument: string,
  { root, as, region, map, labels, allowOutside, labelFolder, unknown }: ReadOptions,
): Promise<CasesOfPaths> {
  const configuration = configNamed(io, argument)
  if (configuration !== null) {
    const config = await readConfig(io, configuration)
    const data = { ...config.data, allowOutside: allowOutside ?? config.data.allowOutside }
    const curation = await curate(data, config.region)
    return { ...NOTHING, ...curation, own: ownDatasets(config.data), config }
  }
  const path = resolve(io.cwd, argument)
  if (await isManifest(path)) return { ...NOTHING, cases: (await readManifest(path)).cases }
  const collect = unknown === 'refuse' ? importCases : collectCases
  const collected = await collect(path, {
    root: resolve(io.cwd, root ?? '.'),
    as,
    region,
    labels: labels === undefined ? undefined : resolve(io.cwd, labels),
    allowOutside,
    labelFolder,
    ...labelMapOption(map, region ?? null),
  })
  return { ...NOTHING, ...collected }
}

/** Return the folder of merged label maps next to a manifest. */
export function labelFolderOf(manifest: string): string {
  return manifest.replace(/(\.json)?$/, '-labels')
}

/** Note what a data command found besides its cases; return true if a scan was not taken. */
export function noteNotTaken(io: CliIo, found: Omit<Collected, 'cases' | 'taken'>): boolean {
  const { notes, missing, leftOut, refused, unlabelled } = found
  for (const note of notes) io.note(`note: ${note}`)
  for (const { dataset, count, example } of missing)
    io.note(`warning: ${dataset}: ${count} listed cases lack a file, first ${example}`)
  for (const text of leftOutLines(leftOut)) io.note(`warning: ${text}`)
  for (const { error } of refused) {
    io.note(`warning: ${error.message}`)
    if (error.commandHint) io.note(`hint: ${error.commandHint}`)
  }
  return leftOut.length + refused.length + unlabelled > 0
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

import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { caseFileNames } from '../../curation/case-file-names.js'
import { EnvironmentError, FreetumorError, RuntimeCrashError } from '../../errors.js'
import { readForeignJson } from '../../foreign-text.js'
import type { Region } from '../../volume/labels.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import { makeFolder, temporaryName } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import type { ToolRunner } from '../ports/tool.js'
import type { ScanCase } from '../predict/cases.js'
import { inParallel } from './in-parallel.js'
import { caseErrorOf, type OrganLabeller, type RawLabel, type RawOutcome } from './labeller.js'
import { DEFAULT_LIMIT_SECONDS, idsOfMap, type LabelOrgansOptions, ownIds } from './settings.js'
import { commandWords, failureOf, KNOWN_TOOLS, type KnownTool } from './tools.js'

/** A program with its arguments, ready to be called for a case. */
interface Program {
  readonly name: string
  readonly weightsHint?: string
  readonly task: string | null
  argvOf(files: { readonly image: string; readonly output: string; readonly report: string }): string[]
}

/**
 * Return a known tool, found in its environment.
 * @throws EnvironmentError if it is not installed, UsageError for a task whose ids are not known
 */
export async function knownLabeller(
  source: keyof typeof KNOWN_TOOLS,
  options: LabelOrgansOptions,
  region: Region,
  tools: ToolRunner,
  context: StageContext,
): Promise<OrganLabeller> {
  const tool: KnownTool = KNOWN_TOOLS[source]
  const { task = tool.defaultTask, toolArgs = [], device = 'auto', map } = options
  const stated = map ?? tool.presetOf(task, null, region)
  const { argv, version } = await tools.find(tool, options.toolPython ?? null)
  if (version === null)
    context.note(`${tool.name}: states no version; the ids of its newest version are used`, 'warning')
  const ids = idsOfMap(map === undefined ? tool.presetOf(task, version, region) : stated, region)
  const program: Program = {
    name: tool.name,
    weightsHint: tool.weightsHint,
    task,
    argvOf: ({ image, output, report }) => [
      ...argv,
      ...tool.argumentsOf({ image, output }, task, device),
      ...(source === 'totalsegmentator' && writesReport(version) ? ['--report', report] : []),
      ...toolArgs,
    ],
  }
  return {
    name: source,
    version,
    ids,
    settings: { task, toolArgs },
    label: (scans, work, logs) => labelEach(scans, program, work, logs, { options, tools, context }),
  }
}

/** TotalSegmentator has `--report` from version 2.15 on. */
function writesReport(version: string | null): boolean {
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number)
  return major > 2 || (major === 2 && minor >= 15)
}

/** @throws UsageError for a command without its places, EnvironmentError if its program is not found */
export function commandLabeller(
  command: string | readonly string[],
  options: LabelOrgansOptions,
  region: Region,
  tools: ToolRunner,
  context: StageContext,
): OrganLabeller {
  const words = commandWords(command, options.toolPython)
  const python = options.toolPython === undefined ? '' : tools.findProgram(options.toolPython)
  const fill = (word: string, image: string, output: string): string =>
    word.replaceAll('{python}', python).replaceAll('{image}', image).replaceAll('{output}', output)
  const start = tools.findProgram(fill(words[0]!, '', ''))
  const program: Program = {
    name: 'command',
    task: null,
    argvOf: ({ image, output }) => [start, ...words.slice(1).map((word) => fill(word, image, output))],
  }
  return {
    name: 'command',
    version: null,
    ids: options.map === undefined ? ownIds(region) : idsOfMap(options.map, region),
    settings: { command: words },
    label: (scans, work, logs) => labelEach(scans, program, work, logs, { options, tools, context }),
  }
}

interface Calling {
  readonly options: LabelOrgansOptions
  readonly tools: ToolRunner
  readonly context: StageContext
}

async function* labelEach(
  scans: readonly ScanCase[],
  program: Program,
  work: string,
  logs: string,
  { options, tools, context }: Calling,
): AsyncIterable<RawOutcome> {
  const { limitSeconds = DEFAULT_LIMIT_SECONDS, workers = 1 } = options
  const names = caseFileNames(scans.map(({ id }) => id))
  // the first failure of the tool itself ends the call, unless a case has shown that the tool works
  let hasWorked = false
  const one = async (scan: ScanCase, signal: AbortSignal): Promise<RawOutcome> => {
    const folder = temporaryName(join(work, 'case'))
    const log = join(logs, `${names.get(scan.id)}.log`)
    try {
      const raw = await labelOne({ scan, program, folder, log, limitSeconds, tools, signal })
      hasWorked = true
      return raw
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      signal.throwIfAborted()
      if (!(error instanceof FreetumorError)) throw error
      // a full disk stops every case
      if (error instanceof EnvironmentError && !(hasWorked && 'tool' in error.facts)) throw error
      return { caseId: scan.id, error: caseErrorOf(error) }
    }
  }
  yield* inParallel(scans, workers, context.signal, one)
}

interface Call {
  readonly scan: ScanCase
  readonly program: Program
  readonly folder: string
  readonly log: string
  readonly limitSeconds: number
  readonly tools: ToolRunner
  readonly signal: AbortSignal
}

/**
 * Run the tool on a copy of the scan with a new header: it sees neither the name of the scan nor text of its header.
 * @throws DataError, EnvironmentError or RuntimeCrashError
 */
async function labelOne(call: Call): Promise<RawLabel> {
  const { scan, program, folder, log, limitSeconds, tools, signal } = call
  const started = performance.now()
  await makeFolder(folder)
  const files = {
    image: join(folder, 'scan.nii.gz'),
    output: join(folder, 'labels.nii.gz'),
    report: join(folder, 'report.json'),
  }
  const { data, shape, affine } = await readNifti(scan.image)
  await writeNifti(files.image, { data, shape, affine })
  const copied = performance.now()
  const output = join(folder, 'tool.log')
  const argv = program.argvOf(files)
  const end = await tools.run({ argv, directory: folder, limitSeconds, log: output, signal })
  const wrote = existsSync(files.output)
  if (end.code !== 0 || !wrote) {
    await makeFolder(dirname(log))
    await rename(output, log).catch(() => {})
    if (end.code === 0)
      throw new RuntimeCrashError(`${program.name}: wrote no label map`, { hint: `read ${log}` })
    throw failureOf(end, program, { task: program.task, limitSeconds, log })
  }
  await rm(log, { force: true })
  return {
    caseId: scan.id,
    file: files.output,
    folder,
    seconds: { copy: (copied - started) / 1000, tool: end.seconds },
    report: existsSync(files.report) ? await readForeignJson(files.report, { bytes: 2 ** 20 }) : null,
  }
}

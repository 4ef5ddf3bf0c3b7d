import { EnvironmentError, type FreetumorError, RuntimeCrashError, UsageError } from '../../errors.js'
import { oneLine } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'
import type { ToolEnd, ToolProgram } from '../ports/tool.js'

/** A tool with a documented command line. */
export interface KnownTool extends ToolProgram {
  /** Name in messages. */
  readonly name: string
  readonly defaultTask: string
  /**
   * Return the preset that states the ids of a task.
   * @param version null if the tool states none
   * @throws UsageError for a task whose ids are not known
   */
  presetOf(task: string, version: string | null, region: Region): string
  argumentsOf(
    files: { image: string; output: string },
    task: string,
    device: 'auto' | 'cpu' | 'cuda',
  ): string[]
  readonly weightsHint: string
}

/** TotalSegmentator: `TotalSegmentator -i scan.nii.gz -o labels.nii.gz --ml --task total`. */
const totalSegmentator: KnownTool = {
  name: 'TotalSegmentator',
  program: 'TotalSegmentator',
  module: 'totalsegmentator.bin.TotalSegmentator',
  distribution: 'TotalSegmentator',
  defaultTask: 'total',
  presetOf(task, version) {
    if (task !== 'total' && task !== 'total_v3')
      throw unknownTask('TotalSegmentator', task, 'total, total_v3')
    return version?.startsWith('1.') ? 'TotalSegmentator-v1' : 'TotalSegmentator'
  },
  argumentsOf: ({ image, output }, task, device) => [
    ...['-i', image, '-o', output, '--ml', '--task', task],
    ...(device === 'auto' ? [] : ['--device', device === 'cuda' ? 'gpu' : 'cpu']),
  ],
  weightsHint:
    'run `totalseg_download_weights` where there is internet, and set TOTALSEG_WEIGHTS_PATH to the folder',
}

/** lungmask: `lungmask scan.nii.gz labels.nii.gz --modelname R231`. */
const lungmask: KnownTool = {
  name: 'lungmask',
  program: 'lungmask',
  module: 'lungmask.__main__',
  distribution: 'lungmask',
  defaultTask: 'R231',
  presetOf(task) {
    if (task === 'R231' || task === 'R231CovidWeb') return 'lungmask'
    if (task === 'LTRCLobes' || task === 'LTRCLobes_R231') return 'lungmask-lobes'
    throw unknownTask('lungmask', task, 'R231, R231CovidWeb, LTRCLobes, LTRCLobes_R231')
  },
  argumentsOf: ({ image, output }, task, device) => [
    ...[image, output, '--modelname', task, '--noprogress'],
    ...(device === 'cpu' ? ['--cpu'] : []),
  ],
  weightsHint: 'run lungmask once where there is internet, and copy its folder TORCH_HOME',
}

export const KNOWN_TOOLS = { totalsegmentator: totalSegmentator, lungmask } as const

function unknownTask(tool: string, task: string, known: string): UsageError {
  return new UsageError(`${tool}: the ids of task ${oneLine(task)} are not known (expected ${known})`, {
    hint: 'pass the meaning of its ids with --map',
  })
}

/** Output of TotalSegmentator (`show_license_info`) without a licence, or with a wrong one. */
const LICENCE = /requires a license|license number has not been set|Invalid license number/i
const WEIGHTS =
  /Max retries exceeded|ConnectionError|NameResolutionError|name resolution|Name or service not known|URLError|urlopen error|Network is unreachable|HTTPError|Could not download|no such file.*(nnunet\/results|checkpoint_final|\.pth)/i
const MEMORY = /CUDA out of memory|OutOfMemoryError|MemoryError|std::bad_alloc|Unable to allocate/

/**
 * Return the error of a call that failed. An EnvironmentError with `facts.tool` means that every case would fail so.
 * @param log path of its output, for the hint
 */
export function failureOf(
  end: ToolEnd,
  tool: { readonly name: string; readonly weightsHint?: string },
  { task, limitSeconds, log }: { task: string | null; limitSeconds: number; log: string },
): FreetumorError {
  const { name, weightsHint = 'make its weights available on this machine' } = tool
  const facts = { tool: name, exitCode: end.code, signal: end.signal, lastLine: lastLine(end.tail) }
  const ofCase = (reason: string, hint: string): FreetumorError =>
    new RuntimeCrashError(`${name}: ${reason}`, { hint, facts })
  if (end.timedOut)
    return ofCase(`no end within ${limitSeconds} s`, 'raise --limit-seconds, or exclude the scan')
  if (LICENCE.test(end.tail) && end.code !== 0) {
    const which = /Invalid license/i.test(end.tail) ? 'a valid licence number' : 'a licence number'
    const message = `${name}: ${task === null ? 'it' : `task ${task}`} needs ${which}`
    const hint = 'run `totalseg_set_license -l NUMBER` in the environment of the tool'
    return new EnvironmentError(message, { hint, facts })
  }
  if (WEIGHTS.test(end.tail) && end.code !== 0) {
    const message = `${name}: its weights are missing and cannot be downloaded`
    return new EnvironmentError(message, { hint: weightsHint, facts })
  }
  if (MEMORY.test(end.tail))
    return ofCase('out of memory', 'lower --workers, pass --device cpu, or use a larger machine')
  if (end.signal !== null)
    return ofCase(
      `killed by ${end.signal}`,
      end.signal === 'SIGKILL' ? 'the machine may lack memory: lower --workers' : `read ${log}`,
    )
  return ofCase(`failed with exit code ${end.code}${quoted(facts.lastLine)}`, `read ${log}`)
}

function quoted(line: string): string {
  return line === '' ? '' : ` (${line})`
}

function lastLine(tail: string): string {
  return oneLine((tail.trim().split('\n').at(-1) ?? '').trim().slice(0, 200))
}

/**
 * Split a command line into words as a shell does, without expansion: quotes and backslashes group, nothing is replaced.
 * @throws UsageError for an open quote
 */
export function wordsOfCommand(line: string): string[] {
  const words: string[] = []
  let word: string | null = null
  let quote: '"' | "'" | null = null
  for (let at = 0; at < line.length; at++) {
    const sign = line[at]!
    if (sign === '\\' && quote !== "'" && at + 1 < line.length) word = (word ?? '') + line[++at]!
    else if (quote !== null && sign === quote) quote = null
    else if (quote !== null) word = (word ?? '') + sign
    else if (sign === '"' || sign === "'") {
      quote = sign
      word ??= ''
    } else if (/\s/.test(sign)) {
      if (word !== null) words.push(word)
      word = null
    } else word = (word ?? '') + sign
  }
  if (quote !== null)
    throw new UsageError(`--with command: open quote (${quote})`, { hint: 'close the quote' })
  return word === null ? words : [...words, word]
}

/**
 * Return the words of a command of the user.
 * @throws UsageError without `{image}` or `{output}`, or if `{python}` and the named Python do not go together
 */
export function commandWords(command: string | readonly string[], python: string | undefined): string[] {
  const words = typeof command === 'string' ? wordsOfCommand(command) : [...command]
  const has = (place: string): boolean => words.some((word) => word.includes(place))
  const example = '--with command "my-tool {image} {output}"'
  for (const place of ['{image}', '{output}'])
    if (!has(place))
      throw new UsageError(`--with command: no ${place} in it`, { hint: `write it as in ${example}` })
  if (has('{python}') !== (python !== undefined))
    throw new UsageError(
      python === undefined
        ? '--with command: {python} without --tool-python'
        : '--tool-python: no {python} in the command',
      { hint: '`--tool-python PATH` replaces {python} in the command' },
    )
  return words
}

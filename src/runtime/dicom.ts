import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { onAbort } from '../abort.js'
import type { ScannedSeries } from '../curation/dicom/series.js'
import { EnvironmentError, RuntimeCrashError } from '../errors.js'
import type { CaseError } from '../pipeline/ports/common.js'
import type { DicomCallOptions, DicomOutcome, DicomReader, DicomScan } from '../pipeline/ports/dicom.js'
import { reviveError } from './events.js'
import { cleanEnvironment, resolvePython } from './python.js'

interface Event {
  readonly type: string
  readonly error?: CaseError
}

/** Return the reader of DICOM of a Python runtime with the part `dicom`. */
export function dicomReader(settings: { readonly python?: string | null | undefined } = {}): DicomReader {
  const python = (): string => resolvePython({ explicit: settings.python ?? undefined })
  return {
    async scan(request, options) {
      const series: ScannedSeries[] = []
      let counts: Omit<DicomScan, 'series'> | undefined
      for await (const event of eventsOf(python(), 'scan', request, options)) {
        if (event.type === 'progress') options.onFiles?.((event as unknown as { files: number }).files)
        if (event.type === 'series') series.push(event as unknown as ScannedSeries)
        if (event.type === 'scanned') counts = event as unknown as DicomScan
      }
      const { files, others, links, unreadable } = counts!
      return { series, files, others, links, unreadable }
    },
    async *convert(request, options) {
      for await (const event of eventsOf(python(), 'convert', request, options)) yield outcomeOf(event)
    },
  }
}

function outcomeOf(event: Event): DicomOutcome {
  if (event.type === 'converted') return event as unknown as DicomOutcome
  const { job, code, reason, hint } = event as unknown as Record<string, string>
  return { job: Number(job), refusal: { code: code!, reason: reason!, hint: hint! } }
}

/**
 * Run a step in a process of its own, which ends with this one; yield its events. Its standard error is dropped: a traceback
 * may quote a file.
 */
export async function* eventsOf(
  python: string,
  step: 'scan' | 'convert' | 'segment',
  request: object,
  { signal }: DicomCallOptions,
): AsyncGenerator<Event> {
  signal?.throwIfAborted()
  const child = spawn(python, ['-m', 'freetumor_runtime.dicom', step], {
    stdio: ['pipe', 'pipe', 'ignore'],
    // Ctrl-C reaches only this process, which then ends the child and dcm2niix
    detached: true,
    env: cleanEnvironment({ threads: 1 }),
  })
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, by) => resolve(code === 0 ? '' : (by ?? `exit code ${code}`)))
  })
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it has ended
    }
  }
  const release = onAbort(signal, kill)
  child.stdin.on('error', () => {})
  child.stdin.end(JSON.stringify(request))
  try {
    for await (const line of createInterface({ input: child.stdout })) yield eventOf(line)
    const how = await ended
    signal?.throwIfAborted()
    if (how !== '')
      throw new RuntimeCrashError(`the reader of DICOM ended (${how})`, {
        hint: 'run `freetumor doctor`; if it is healthy, convert smaller folders',
      })
  } finally {
    kill()
    await ended
    release()
  }
}

function eventOf(line: string): Event {
  const event = JSON.parse(line) as Event
  if (event.type === 'failed') throw reviveError(event.error!)
  if (event.type !== 'missing') return event
  throw new EnvironmentError('the Python runtime lacks the packages that read DICOM', {
    hint: 'run `freetumor setup --extra dicom`',
  })
}

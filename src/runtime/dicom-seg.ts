import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SegOutcome, SegWriter } from '../pipeline/ports/dicom-seg.js'
import { eventsOf } from './dicom.js'
import { packageRoot, resolvePython } from './python.js'

/** Return the writer of DICOM SEG of a Python runtime with the part `dicom`. */
export function segWriter(settings: { readonly python?: string | null | undefined } = {}): SegWriter {
  return {
    async *segment(request, options) {
      const python = resolvePython({ explicit: settings.python ?? undefined })
      const whole = { ...request, version: ownVersion() }
      for await (const event of eventsOf(python, 'segment', whole, options)) yield outcomeOf(event)
    },
  }
}

function outcomeOf(event: { readonly type: string }): SegOutcome {
  if (event.type === 'segmented') return event as unknown as SegOutcome
  const { job, code, reason, hint } = event as unknown as Record<string, string>
  return { job: Number(job), refusal: { code: code!, reason: reason!, hint: hint! } }
}

function ownVersion(): string {
  const text = readFileSync(join(packageRoot, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

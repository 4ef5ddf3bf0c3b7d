import { asRecord } from '../foreign-text.js'
import { oneLine } from '../plain-text.js'
import type { StartedEvent } from '../training/events.js'
import { HttpClient, TrackerError } from './http.js'
import type { TrackedStep } from './steps.js'
import type { OpenedRemote, RunFacts, TrackedRun, Tracker } from './tracker.js'

/** https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes: all other errors must not be sent again. */
const RETRYABLE = [429, 502, 503, 504]

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Return the tracker of an OpenTelemetry receiver: OTLP over HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/).
 * Every figure is a gauge with the time of its step, and `freetumor.step` is the step.
 */
export function otlpTracker(
  url: string,
  facts: RunFacts,
  note: (text: string) => void,
  env: Environment = process.env,
): Tracker {
  return new OtlpTracker(url, facts, note, env)
}

class OtlpTracker implements Tracker {
  readonly name = 'otlp'
  readonly atEnd = false
  readonly graceMs = 10_000
  readonly #http: HttpClient
  #id = ''
  #noted = false

  constructor(
    readonly at: string,
    private readonly facts: RunFacts,
    private readonly note: (text: string) => void,
    env: Environment,
  ) {
    this.#http = new HttpClient('otlp', at, headersOf(env), 'OTEL_EXPORTER_OTLP_HEADERS', RETRYABLE)
  }

  /** A receiver cannot be asked for the points that it has. */
  async open({ id }: TrackedRun): Promise<OpenedRemote> {
    this.#id = id
    return { run: null, last: () => -1 }
  }

  async send(steps: readonly TrackedStep[], started: StartedEvent, signal: AbortSignal): Promise<void> {
    const points = new Map<string, { timeUnixNano: string; asDouble: number }[]>()
    for (const { step, timeMs, values } of steps)
      for (const [name, value] of [['step', step] as const, ...Object.entries(values)]) {
        const metric = `freetumor.${name.replaceAll('/', '.')}`
        const point = { timeUnixNano: `${timeMs}000000`, asDouble: value }
        const known = points.get(metric)
        if (known === undefined) points.set(metric, [point])
        else known.push(point)
      }
    const metrics = [...points].map(([name, dataPoints]) => ({ name, gauge: { dataPoints } }))
    const scope = { name: 'freetumor', version: this.facts.version }
    const resource = { attributes: attributesOf(this.#id, this.facts, started) }
    const body = { resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics }] }] }
    this.#report(await this.#http.request('POST', '/v1/metrics', signal, body))
  }

  async end(): Promise<void> {}

  async close(): Promise<void> {}

  /**
   * Note once that a receiver rejects points, or warns: both in a successful answer. The protocol forbids to send rejected
   * points again, and to refuse unknown keys of the answer.
   * @throws TrackerError for JSON that is no answer of the protocol
   */
  #report(answer: unknown): void {
    const { partialSuccess } = asRecord(answer) ?? {}
    const partial = partialSuccess === undefined || partialSuccess === null ? {} : asRecord(partialSuccess)
    // a 64-bit number is a string in this JSON
    const { rejectedDataPoints = 0, errorMessage = '' } = partial ?? {}
    const rejected = Number(rejectedDataPoints)
    if (asRecord(answer) === undefined || partial === undefined || !(rejected >= 0))
      throw new TrackerError(
        `otlp: ${new URL(this.at).origin} answers 200 without an answer of OTLP`,
        'configure the address of an OTLP receiver over HTTP',
        200,
      )
    if (this.#noted || (rejected === 0 && !errorMessage)) return
    this.#noted = true
    const said = oneLine(String(errorMessage)).slice(0, 200)
    this.note(
      rejected > 0
        ? `otlp: the receiver rejects points, the first time ${rejected} (${said || 'without a reason'})`
        : `otlp: the receiver warns (${said})`,
    )
  }
}

function attributesOf(
  id: string,
  { version, seed, name, config }: RunFacts,
  started: StartedEvent,
): unknown[] {
  const { job, worldSize, versions } = started
  const texts = {
    'service.name': 'freetumor',
    'service.version': version,
    'service.instance.id': id,
    'freetumor.job': job,
    'freetumor.seed': String(seed),
    'freetumor.worldSize': String(worldSize),
    ...(name === null ? {} : { 'freetumor.name': name }),
    ...prefixed('freetumor.version.', versions),
    ...prefixed('freetumor.config.', config ?? {}),
  }
  return Object.entries(texts).map(([key, value]) => ({ key, value: { stringValue: value } }))
}

function prefixed(prefix: string, values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [prefix + key, value]))
}

/** Return the headers of the standard variables: `name=value` pairs with percent-encoded values. */
function headersOf(env: Environment): Record<string, string> {
  const text = env.OTEL_EXPORTER_OTLP_METRICS_HEADERS || env.OTEL_EXPORTER_OTLP_HEADERS || ''
  const pairs = text.split(',').flatMap((pair) => {
    const [, name, value] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? []
    return name === undefined || value === undefined ? [] : [[name.toLowerCase(), decoded(value)]]
  })
  return Object.fromEntries(pairs)
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

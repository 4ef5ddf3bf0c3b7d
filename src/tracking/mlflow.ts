import { asRecord } from '../foreign-text.js'
import type { Outcome, StartedEvent } from '../training/events.js'
import { HttpClient, TrackerError } from './http.js'
import type { TrackedStep } from './steps.js'
import type { OpenedRemote, RunFacts, TrackedRun, Tracker } from './tracker.js'

/** Tag of a run on the server with the id of its run directory. */
const ID_TAG = 'freetumor.id'
/** Longest value of a parameter, of all servers since MLflow 1.28. */
const MAX_PARAM = 500
const PARAMS_PER_REQUEST = 100
const STATUS = { completed: 'FINISHED', stopped: 'KILLED', failed: 'FAILED' } as const

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Return the tracker of an MLflow server, by its REST API (https://mlflow.org/docs/latest/api_reference/rest-api.html).
 * Values have the times of the run's events, so the server drops a repeated one.
 */
export function mlflowTracker(
  uri: string,
  experiment: string,
  facts: RunFacts,
  env: Environment = process.env,
): Tracker {
  return new MlflowTracker(uri, experiment, facts, env)
}

class MlflowTracker implements Tracker {
  readonly name = 'mlflow'
  readonly atEnd = false
  readonly graceMs = 10_000
  readonly #http: HttpClient
  #run = ''
  #tagged = ''

  constructor(
    readonly at: string,
    private readonly experiment: string,
    private readonly facts: RunFacts,
    env: Environment,
  ) {
    const variables = 'MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD'
    this.#http = new HttpClient('mlflow', at, authorizationOf(env), variables)
  }

  async open({ id, run }: TrackedRun, started: StartedEvent, signal: AbortSignal): Promise<OpenedRemote> {
    const known = run ?? (await this.#find(id, signal))
    this.#tagged = ''
    this.#run = known ?? (await this.#create(id, started, signal))
    if (run === null) await this.#logParams(started, signal)
    if (known !== null) await this.#post('runs/update', { run_id: known, status: 'RUNNING' }, signal)
    const answer = await this.#get('runs/get', { run_id: this.#run }, signal)
    const steps = lastSteps(answer)
    return { run: this.#run, last: (figure) => steps.get(figure) ?? -1 }
  }

  async send(steps: readonly TrackedStep[], started: StartedEvent, signal: AbortSignal): Promise<void> {
    const metrics = steps.flatMap(({ step, timeMs, values }) =>
      Object.entries(values).map(([key, value]) => ({ key, value, timestamp: timeMs, step })),
    )
    const tags = tagsOf(this.facts, started)
    const text = JSON.stringify(tags)
    await this.#post(
      'runs/log-batch',
      { run_id: this.#run, metrics, ...(text === this.#tagged ? {} : { tags }) },
      signal,
    )
    this.#tagged = text
  }

  async end(outcome: Outcome | null, timeMs: number, signal: AbortSignal): Promise<void> {
    const status = outcome === null ? 'KILLED' : STATUS[outcome]
    await this.#post('runs/update', { run_id: this.#run, status, end_time: timeMs }, signal)
  }

  async close(): Promise<void> {}

  /** Return the run of this directory that an earlier process created without recording its id. */
  async #find(id: string, signal: AbortSignal): Promise<string | null> {
    const body = {
      experiment_ids: [await this.#experimentId(signal)],
      filter: `tags.\`${ID_TAG}\` = '${id}'`,
      max_results: 1,
    }
    const { runs } = asRecord(await this.#post('runs/search', body, signal)) ?? {}
    return Array.isArray(runs) && runs.length > 0 ? runIdOf(runs[0]) : null
  }

  async #create(id: string, started: StartedEvent, signal: AbortSignal): Promise<string> {
    const body = {
      experiment_id: await this.#experimentId(signal),
      run_name: this.facts.name ?? `${started.job} ${started.time.slice(0, 16).replace('T', ' ')}`,
      start_time: Date.parse(started.time),
      tags: [{ key: ID_TAG, value: id }],
    }
    return runIdOf(asRecord(await this.#post('runs/create', body, signal))?.run)
  }

  async #experimentId(signal: AbortSignal): Promise<string> {
    const name = { experiment_name: this.experiment }
    for (let attempt = 0; ; attempt++) {
      try {
        const { experiment } = asRecord(await this.#get('experiments/get-by-name', name, signal)) ?? {}
        return textOf(asRecord(experiment)?.experiment_id, 'an id of the experiment')
      } catch (error) {
        if (codeOf(error) !== 'RESOURCE_DOES_NOT_EXIST' || attempt > 0) throw error
      }
      // another run may create it at the same moment
      await this.#post('experiments/create', { name: this.experiment }, signal).catch((error: unknown) => {
        if (codeOf(error) !== 'RESOURCE_ALREADY_EXISTS') throw error
      })
    }
  }

  /** Log the parameters of a new run. The server refuses other values of a parameter later. */
  async #logParams({ job }: StartedEvent, signal: AbortSignal): Promise<void> {
    const { seed, config } = this.facts
    const all = { job, seed: String(seed), ...config }
    const params = Object.entries(all).map(([key, value]) => ({ key, value: value.slice(0, MAX_PARAM) }))
    for (let at = 0; at < params.length; at += PARAMS_PER_REQUEST) {
      const some = params.slice(at, at + PARAMS_PER_REQUEST)
      await this.#post('runs/log-batch', { run_id: this.#run, params: some }, signal)
    }
  }

  #get(call: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<unknown> {
    return this.#http.request('GET', `/api/2.0/mlflow/${call}?${new URLSearchParams(query)}`, signal)
  }

  #post(call: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return this.#http.request('POST', `/api/2.0/mlflow/${call}`, signal, body)
  }
}

function authorizationOf(env: Environment): Record<string, string> {
  const { MLFLOW_TRACKING_TOKEN: token, MLFLOW_TRACKING_USERNAME: user } = env
  if (token) return { authorization: `Bearer ${token}` }
  if (!user) return {}
  const pair = `${user}:${env.MLFLOW_TRACKING_PASSWORD ?? ''}`
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

function tagsOf({ version }: RunFacts, { versions, worldSize }: StartedEvent): unknown[] {
  const tags = {
    'freetumor.version': version,
    'freetumor.worldSize': worldSize,
    ...Object.fromEntries(Object.entries(versions).map(([name, value]) => [`version.${name}`, value])),
  }
  return Object.entries(tags).map(([key, value]) => ({ key, value: String(value).slice(0, MAX_PARAM) }))
}

/** Return the last step of every metric of a run. */
function lastSteps(answer: unknown): Map<string, number> {
  const { metrics } = asRecord(asRecord(asRecord(answer)?.run)?.data) ?? {}
  const last = new Map<string, number>()
  for (const metric of Array.isArray(metrics) ? metrics : []) {
    const { key, step } = asRecord(metric) ?? {}
    if (typeof key === 'string') last.set(key, Number(step ?? 0))
  }
  return last
}

function runIdOf(run: unknown): string {
  return textOf(asRecord(asRecord(run)?.info)?.run_id, 'an id of the run')
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= 200) return value
  throw new TrackerError(`mlflow: wrong answer (expected ${what})`, 'name an MLflow tracking server', null)
}

function codeOf(error: unknown): string | null {
  return error instanceof TrackerError ? error.errorCode : null
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface StoredMetric {
  readonly key: string
  readonly value: number
  readonly timestamp: number
  readonly step: number
}

interface StoredRun {
  readonly id: string
  readonly experiment: string
  readonly name: string
  status: string
  readonly tags: Map<string, string>
  readonly params: Map<string, string>
  /** As received: a value that was sent twice is in it twice. */
  readonly metrics: StoredMetric[]
}

interface Pair {
  readonly key: string
  readonly value: string
}

/** The keys of the requests that freetumor sends. */
interface Body {
  readonly run_id?: string
  readonly name: string
  readonly filter: string
  readonly experiment_id: string
  readonly run_name: string
  readonly status: string
  readonly tags?: readonly Pair[]
  readonly params?: readonly Pair[]
  readonly metrics?: readonly StoredMetric[]
}

export interface MlflowServer {
  readonly url: string
  readonly runs: StoredRun[]
  /** Method, path and headers of every request, oldest first. */
  readonly requests: { readonly call: string; readonly headers: IncomingMessage['headers'] }[]
  /** Called before a request is answered; a number is the status of the answer instead. */
  before: (call: string) => number | undefined
  /** Called after a request has taken effect; false drops the connection instead of the answer, null never answers. */
  after: (call: string) => boolean | null
}

/** An MLflow tracking server in this process: the documented answers of the calls that freetumor makes. */
export async function mlflowServer(): Promise<MlflowServer> {
  const experiments = new Map<string, string>()
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const state: MlflowServer = {
    url: `http://127.0.0.1:${port}`,
    runs: [],
    requests: [],
    before: () => undefined,
    after: () => true,
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const { pathname, searchParams } = new URL(request.url!, state.url)
    const call = pathname.replace('/api/2.0/mlflow/', '')
    state.requests.push({ call: `${request.method} ${pathname}`, headers: request.headers })
    const send = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const refused = state.before(call)
    if (refused !== undefined) return send(refused, { error_code: 'INTERNAL_ERROR', message: 'refused' })
    const body = JSON.parse(text || '{}') as Body
    const result = callOf(call, body, searchParams)
    const answered = state.after(call)
    if (answered === null) return
    if (!answered) return void response.destroy()
    if (result === null) return send(404, { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'not found' })
    send(200, result)
  }

  function callOf(call: string, body: Body, query: URLSearchParams): unknown {
    const run = state.runs.find(({ id }) => id === (body.run_id ?? query.get('run_id')))
    switch (call) {
      case 'experiments/get-by-name': {
        const id = experiments.get(query.get('experiment_name')!)
        return id === undefined ? null : { experiment: { experiment_id: id } }
      }
      case 'experiments/create':
        experiments.set(body.name, String(experiments.size + 1))
        return { experiment_id: String(experiments.size) }
      case 'runs/search': {
        const [, tag, value] = /^tags\.`(.*)` = '(.*)'$/.exec(body.filter)!
        const found = state.runs.filter((one) => one.tags.get(tag!) === value)
        return found.length === 0 ? {} : { runs: found.map(shown) }
      }
      case 'runs/create': {
        const made = {
          id: `run-${state.runs.length + 1}`,
          experiment: body.experiment_id,
          name: body.run_name,
          status: 'RUNNING',
          tags: new Map((body.tags ?? []).map(({ key, value }) => [key, value])),
          params: new Map<string, string>(),
          metrics: [],
        }
        state.runs.push(made)
        return { run: shown(made) }
      }
      case 'runs/get':
        return run === undefined ? null : { run: shown(run) }
      case 'runs/log-batch':
        if (run === undefined) return null
        run.metrics.push(...(body.metrics ?? []))
        for (const { key, value } of body.params ?? []) run.params.set(key, value)
        for (const { key, value } of body.tags ?? []) run.tags.set(key, value)
        return {}
      case 'runs/update':
        if (run === undefined) return null
        run.status = body.status
        return { run_info: {} }
      default:
        return null
    }
  }
  return state
}

function shown(run: StoredRun): unknown {
  const latest = new Map<string, StoredMetric>()
  for (const metric of run.metrics)
    if (metric.step >= (latest.get(metric.key)?.step ?? -1)) latest.set(metric.key, metric)
  return { info: { run_id: run.id, status: run.status }, data: { metrics: [...latest.values()] } }
}

/** The values of a run on the server as `key@step`, in the order of their arrival. */
export function pointsOf(metrics: readonly StoredMetric[]): string[] {
  return metrics.map(({ key, step }) => `${key}@${step}`)
}

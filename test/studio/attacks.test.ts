import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RunList } from '../../src/studio/messages.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'
import { STARTED, serve, type TestServer, writeRun } from './runs.js'

const SECRET = 'the text of a file outside'

interface Answer {
  readonly status: number
  readonly text: string
}

interface Sent {
  readonly path?: string
  readonly method?: string
  /** Laid over a correct Host and token; undefined removes one. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body?: string
}

/** Send a request as it is: fetch would correct paths and refuse headers. */
function send(
  { url, token }: TestServer,
  { path = '/api/runs', method = 'GET', headers = {}, body }: Sent,
): Promise<Answer> {
  const all = { Host: url.host, Authorization: `Bearer ${token}`, ...headers }
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >
  return new Promise((resolve, reject) => {
    const sent = request({
      host: url.hostname,
      port: url.port,
      path,
      method,
      headers: given,
      setHost: false,
      agent: false,
    })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('end', () => resolve({ status: answer.statusCode!, text }))
    })
    sent.end(body)
  })
}

/** Send bytes, and resolve with the answer when the server closes the connection. */
function sendRaw({ url }: TestServer, text: string): Promise<Answer> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect(Number(url.port), url.hostname, () => socket.write(text))
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      answer += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () =>
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0), text: answer }),
    )
  })
}

/** A folder with one run, next to a file that no request may reach. */
async function folderOfRuns(): Promise<string> {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'secret.txt'), SECRET)
  await writeRun(join(folder, 'runs', 'first'))
  return folder
}

async function served(control = false): Promise<{ server: TestServer; id: string; folder: string }> {
  const folder = await folderOfRuns()
  const server = await serve(join(folder, 'runs'), { control })
  const { runs } = (await (await server.get('/api/runs')).json()) as RunList
  return { server, id: runs[0]!.id, folder }
}

/** Requests with a status that refuses them. `ID` is the run, `PORT` the port, `TOKEN` the token. */
const REFUSED: readonly (readonly [name: string, status: number, sent: Sent])[] = [
  ['dots in the path', 404, { path: '/../../secret.txt' }],
  ['encoded dots', 404, { path: '/%2e%2e/%2e%2e/secret.txt' }],
  ['encoded slashes', 404, { path: '/..%2f..%2fsecret.txt' }],
  ['doubly encoded dots', 404, { path: '/%252e%252e%252fsecret.txt' }],
  ['dots behind a file of the page', 404, { path: '/page.js/../../../../package.json' }],
  ['backslashes', 400, { path: '/..\\..\\secret.txt' }],
  ['overlong UTF-8 dots', 404, { path: '/%c0%ae%c0%ae/secret.txt' }],
  ['two slashes before an absolute path', 404, { path: '//etc/passwd' }],
  ['the source of the page', 404, { path: '/server.js' }],
  ['a path in the place of a run', 404, { path: '/api/runs/..%2f..%2fsecret.txt' }],
  ['a path in the place of a rank', 404, { path: '/api/runs/ID/logs/0/..%2f..%2f..%2f..%2f..%2fsecret.txt' }],
  ['dots behind a log', 404, { path: '/api/runs/ID/logs/0/0/../../../../../secret.txt' }],
  ['U+0000 behind a rank', 404, { path: '/api/runs/ID/logs/0/0%00' }],
  ['a negative rank', 404, { path: '/api/runs/ID/logs/0/-1' }],
  ['a rank with too many digits', 404, { path: '/api/runs/ID/logs/0/10000000' }],
  ['a stream of a path', 404, { path: '/api/stream?runs=../../secret.txt' }],
  ['a stream of no run', 404, { path: '/api/stream' }],
  ['a stream of too many runs', 400, { path: '/api/stream?runs=1,2,3,4,5,6,7' }],
  ['a name that a foreign server resolves (DNS rebinding)', 403, { headers: { Host: 'evil.example:PORT' } }],
  ['a foreign name for the page itself', 403, { path: '/', headers: { Host: 'evil.example:PORT' } }],
  ['a foreign name that starts like ours', 403, { headers: { Host: 'localhost.evil.example:PORT' } }],
  ['a foreign name that ends like ours', 400, { headers: { Host: 'evil.example@127.0.0.1:PORT' } }],
  ['another port in Host', 403, { headers: { Host: '127.0.0.1:1' } }],
  ['Host without a port', 403, { headers: { Host: '127.0.0.1' } }],
  ['a foreign Origin', 403, { headers: { Origin: 'https://evil.example' } }],
  ['an opaque Origin', 403, { headers: { Origin: 'null' } }],
  ['the Origin of another local server', 403, { headers: { Origin: 'http://127.0.0.1:1' } }],
  ['an Origin of another scheme', 403, { headers: { Origin: 'https://127.0.0.1:PORT' } }],
  ['a request of another site', 403, { headers: { 'Sec-Fetch-Site': 'cross-site' } }],
  ['a request of another port of this host', 403, { headers: { 'Sec-Fetch-Site': 'same-site' } }],
  ['no token', 401, { headers: { Authorization: undefined } }],
  ['a wrong token', 401, { headers: { Authorization: `Bearer ${'x'.repeat(43)}` } }],
  ['the token with one more character', 401, { headers: { Authorization: 'Bearer TOKENx' } }],
  ['the token in the query', 401, { path: '/api/runs?token=TOKEN', headers: { Authorization: undefined } }],
  ['the token in a cookie', 401, { headers: { Authorization: undefined, Cookie: 'token=TOKEN' } }],
  ['the token as a password', 401, { headers: { Authorization: 'Basic TOKEN' } }],
  ['a stream without the token', 401, { path: '/api/stream?runs=ID', headers: { Authorization: undefined } }],
  ['a log without the token', 401, { path: '/api/runs/ID/logs/0/0', headers: { Authorization: undefined } }],
  ['PUT', 405, { method: 'PUT' }],
  ['DELETE', 405, { method: 'DELETE', path: '/api/runs/ID' }],
  ['PATCH', 405, { method: 'PATCH' }],
  ['a preflight request', 405, { method: 'OPTIONS', headers: { 'Access-Control-Request-Method': 'POST' } }],
  ['POST to a path for reading', 404, { method: 'POST', path: '/api/runs' }],
  ['a long URL', 414, { path: `/api/runs?${'x'.repeat(3000)}` }],
  ['large headers', 431, { headers: { 'X-Large': 'x'.repeat(20_000) } }],
  [
    'a WebSocket',
    401,
    { headers: { Authorization: undefined, Connection: 'Upgrade', Upgrade: 'websocket' } },
  ],
]

const JSON_TYPE = { 'Content-Type': 'application/json' }
const command = (body: string, headers: Sent['headers'] = JSON_TYPE): Sent => ({
  path: '/api/runs/ID/commands',
  method: 'POST',
  headers,
  body,
})

/** Commands that a server with `--control` refuses. */
const REFUSED_COMMANDS: readonly (readonly [name: string, status: number, sent: Sent])[] = [
  [
    'a form of another site',
    415,
    command('type=stop', { 'Content-Type': 'application/x-www-form-urlencoded' }),
  ],
  [
    'JSON that is sent as text, without a preflight',
    415,
    command('{"type":"stop"}', { 'Content-Type': 'text/plain' }),
  ],
  ['a foreign Origin', 403, command('{"type":"stop"}', { ...JSON_TYPE, Origin: 'https://evil.example' })],
  ['no token', 401, command('{"type":"stop"}', { ...JSON_TYPE, Authorization: undefined })],
  ['an oversized body', 413, command(`{"type":"stop","x":"${'x'.repeat(5000)}"}`)],
  [
    'an oversized body in chunks',
    413,
    command('x'.repeat(200_000), { ...JSON_TYPE, 'Transfer-Encoding': 'chunked' }),
  ],
  ['an unknown command', 400, command('{"type":"delete"}')],
  ['a key for a prototype', 400, command('{"type":"stop","__proto__":{"x":1}}')],
  ['an unknown key', 400, command('{"type":"pause","value":1}')],
  ['deep JSON', 400, command('['.repeat(2000))],
  ['a negative learning rate', 400, command('{"type":"setLearningRate","value":-1}')],
  ['an infinite learning rate', 400, command('{"type":"setLearningRate","value":1e999}')],
  ['a command to no run', 404, { ...command('{"type":"stop"}'), path: '/api/runs/x/commands' }],
  ['a command to a run that has ended', 409, command('{"type":"stop"}')],
]

function filled(sent: Sent, server: TestServer, id: string): Sent {
  const text = JSON.stringify(sent.headers ?? {}, (_, value) => (value === undefined ? '\0' : value))
  const headers = JSON.parse(
    text.replaceAll('PORT', server.url.port).replaceAll('TOKEN', server.token),
  ) as Record<string, string>
  const present = Object.entries(headers).map(([name, value]) => [name, value === '\0' ? undefined : value])
  const path = (sent.path ?? '/api/runs').replaceAll('ID', id).replaceAll('TOKEN', server.token)
  return { ...sent, path, headers: Object.fromEntries(present) }
}

describe('the server refuses', () => {
  test.each(REFUSED)('%s', async (_, status, sent) => {
    const { server, id } = await served()
    const answer = await send(server, filled(sent, server, id))
    expect(answer.text).not.toContain(SECRET)
    expect(answer.status, answer.text).toBe(status)
  })

  test.each(REFUSED_COMMANDS)('as a command: %s', async (_, status, sent) => {
    const { server, id } = await served(true)
    const answer = await send(server, filled(sent, server, id))
    expect(answer.status, answer.text).toBe(status)
  })

  test('every command without --control', async () => {
    const { server, id } = await served()
    expect((await send(server, filled(command('{"type":"stop"}'), server, id))).status).toBe(403)
  })

  test.each([
    ['a request without Host', 'GET /api/runs HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    [
      'two Host headers',
      'GET / HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
      403,
    ],
    [
      'the URL of another server',
      'GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
      403,
    ],
    ['a tunnel', 'CONNECT evil.example:443 HTTP/1.1\r\nHost: HOST\r\n\r\n', 0],
    [
      'two lengths',
      'POST /api/runs HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n', 405],
  ])('%s', async (_, text, status) => {
    const { server } = await served()
    const answer = await sendRaw(server, text.replace('HOST', server.url.host))
    expect(answer.status, answer.text).toBe(status)
  })

  test.each([
    ['headers', 'GET / HTTP/1.1\r\nX-Slow: '],
    [
      'a body',
      'POST /api/runs/ID/commands HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{',
    ],
  ])('a client that never ends %s, within seconds', async (_, text) => {
    const { server, id } = await served(true)
    const started = performance.now()
    const { status } = await sendRaw(
      server,
      text.replace('HOST', server.url.host).replace('TOKEN', server.token).replace('ID', id),
    )
    expect(status).toBe(408)
    expect(performance.now() - started).toBeLessThan(15_000)
  })
})

test('a client that opens every stream and leaves is replaced by the next client', async () => {
  const { server, id } = await served()
  const path = `/api/stream?runs=${id}`
  const leaving = new AbortController()
  const streams = Array.from({ length: 64 }, () => server.get(path, { signal: leaving.signal }))
  expect((await Promise.all(streams)).map(({ status }) => status)).toEqual(Array(64).fill(200))
  expect((await server.get(path)).status).toBe(503)
  leaving.abort()
  await until(async () => {
    const next = await server.get(path)
    await next.body!.cancel()
    return next.status === 200
  })
})

describe('links and special files', () => {
  test.each(['events.jsonl', 'config.resolved.yaml', 'exit.json', 'control.json'])(
    'a run whose %s leads out of the folder is listed as broken',
    async (name) => {
      const folder = await folderOfRuns()
      const file = join(folder, 'runs/first', name)
      writeFileSync(join(folder, 'outside'), JSON.stringify({ ...STARTED, device: SECRET }))
      rmSync(file, { force: true })
      symlinkSync(join(folder, 'outside'), file)
      const server = await serve(join(folder, 'runs'))
      const text = await (await server.get('/api/runs')).text()
      expect(text).not.toContain(SECRET)
      expect((JSON.parse(text) as RunList).runs[0]).toMatchObject({ state: 'broken' })
    },
  )

  test('a log that leads out of the folder is refused', async () => {
    const { server, id, folder } = await served()
    const log = join(folder, 'runs/first/logs/node-0/rank-0/output.log')
    rmSync(log)
    symlinkSync(join(folder, 'secret.txt'), log)
    const answer = await server.get(`/api/runs/${id}/logs/0/0`)
    expect([answer.status, (await answer.text()).includes(SECRET)]).toEqual([422, false])
  })

  test('a pipe in the place of a log is refused and blocks nothing', async () => {
    const { server, id, folder } = await served()
    const log = join(folder, 'runs/first/logs/node-0/rank-0/output.log')
    rmSync(log)
    execFileSync('mkfifo', [log])
    expect((await server.get(`/api/runs/${id}/logs/0/0`)).status).toBe(422)
  })

  test('a link to a folder of runs is not followed', async () => {
    const folder = await folderOfRuns()
    await writeRun(join(folder, 'elsewhere', 'second'))
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'runs', 'link'))
    mkdirSync(join(folder, 'runs', 'empty'))
    const server = await serve(join(folder, 'runs'))
    const { runs } = (await (await server.get('/api/runs')).json()) as RunList
    expect(runs.map(({ directory }) => directory)).toEqual([join(folder, 'runs', 'first')])
  })
})

test('every answer has the security headers, also errors', async () => {
  const { server } = await served()
  for (const path of ['/', '/page.js', '/api/runs', '/api/stream?runs=x', '/nothing']) {
    const answer = await server.get(path)
    const policy = answer.headers.get('content-security-policy')
    expect(policy).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  }
})

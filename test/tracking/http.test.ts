import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { HttpClient } from '../../src/tracking/http.js'

const SECRET = 'the-secret-of-this-test'
const never = new AbortController().signal

async function server(listener: RequestListener): Promise<string> {
  const made = createServer(listener)
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    made.closeAllConnections()
    made.close()
  })
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}`
}

function client(base: string, headers: Record<string, string> = { authorization: `Bearer ${SECRET}` }) {
  return new HttpClient('mlflow', base, headers, 'MLFLOW_TRACKING_TOKEN')
}

async function failureOf(request: Promise<unknown>): Promise<{ message: string; hint: string }> {
  const error = await request.then(
    () => new Error('no failure'),
    (reason: Error) => reason,
  )
  expect(JSON.stringify([error.message, error])).not.toContain(SECRET)
  return error as unknown as { message: string; hint: string }
}

describe('HttpClient', () => {
  it('appends the path of a call to that of the address', async () => {
    let asked = ''
    const base = await server((request, response) => {
      asked = request.url!
      response.end('{"a": 1}')
    })
    expect(await client(`${base}/prefix/`).request('GET', '/api', never)).toEqual({ a: 1 })
    expect(asked).toBe('/prefix/api')
  })

  it('follows no redirect', async () => {
    let reached = false
    const other = await server((_, response) => {
      reached = true
      response.end('{}')
    })
    const base = await server((_, response) => response.writeHead(307, { location: other }).end())
    const { message, hint } = await failureOf(client(base).request('POST', '/x', never, {}))
    expect(message).toBe(`mlflow: ${base} redirects to ${new URL(other).host}, which is not followed`)
    expect(hint).toBe('configure the final address')
    expect(reached).toBe(false)
  })

  it('sends no credentials over http to another machine', async () => {
    const { message } = await failureOf(client('http://mlflow.invalid').request('GET', '/x', never))
    expect(message).toBe('mlflow: http://mlflow.invalid: credentials are sent over https only')
  })

  it('refuses an answer above its limit', async () => {
    const base = await server((_, response) => {
      const part = Buffer.alloc(1 << 20, 'a')
      const more = (): void => {
        while (!response.destroyed && response.write(part));
        response.once('drain', more)
      }
      more()
    })
    const { message } = await failureOf(client(base).request('GET', '/x', never))
    expect(message).toBe(`mlflow: ${base}: the answer is too large`)
  })

  it('names the variable of missing credentials, and shows the text of the server in one line', async () => {
    const base = await server((_, response) =>
      response
        .writeHead(401)
        .end(JSON.stringify({ error_code: 'X', message: `no\n\u001b[31m${'y'.repeat(500)}` })),
    )
    const { message, hint } = await failureOf(client(base).request('GET', '/x', never))
    expect(message).toMatch(/ answers 401: no\\u000a\\u001b\[31my+$/)
    expect(message.length).toBeLessThan(300)
    expect(hint).toBe('set MLFLOW_TRACKING_TOKEN')
  })

  it('names the reason of a refused connection', async () => {
    const base = await server(() => {})
    const closed = base.replace(/\d+$/, '9')
    const { message } = await failureOf(client(closed, {}).request('GET', '/x', never))
    expect(message).toMatch(/^mlflow: http:\/\/127.0.0.1:9 does not answer \(/)
  })

  it('refuses an answer that is not JSON', async () => {
    const base = await server((_, response) => response.end('<html>'))
    const { message, hint } = await failureOf(client(base).request('GET', '/x', never))
    expect(message).toBe(`mlflow: ${base}: the answer is not JSON`)
    expect(hint).toBe('name an address of the API')
  })

  it('ends a request when the signal aborts', async () => {
    const stop = new AbortController()
    const base = await server(() => stop.abort(new Error('stopped')))
    await expect(client(base).request('GET', '/x', stop.signal)).rejects.toThrow('stopped')
  })
})

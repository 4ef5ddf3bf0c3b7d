import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { expect, it, test } from 'vitest'
import { runCli, type Started, startCli } from '../../helpers/cli.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { writeRun } from '../../studio/runs.js'

async function workingFolder(): Promise<string> {
  const cwd = temporaryFolder()
  await writeRun(join(cwd, 'runs', 'first'))
  return cwd
}

/** Resolve with the output so far, when it is as expected. */
async function printed({ child }: Started, expected: RegExp): Promise<string> {
  let output = ''
  for await (const text of child.stdout!) {
    output += text
    if (expected.test(output)) return output
  }
  throw new Error(`ended after: ${output}`)
}

it.each(['SIGINT', 'SIGTERM'] as const)(
  'serves the runs until %s, and ends with exit code 0',
  async (signal) => {
    const started = startCli(['studio'], { cwd: await workingFolder() })
    const url = new URL((await printed(started, /\n/)).trim())
    expect(url.hostname).toBe('127.0.0.1')
    const headers = { Authorization: `Bearer ${url.hash.slice('#token='.length)}` }
    const answer = await fetch(new URL('/api/runs', url), { headers })
    expect(await answer.json()).toMatchObject({ control: false, runs: [{ name: 'debug-segmentation' }] })
    const stream = await fetch(new URL('/', url))
    expect(await stream.text()).toContain('<title>freetumor studio</title>')
    started.child.kill(signal)
    const { code, stdout, stderr } = await started.finished
    expect(code, stderr).toBe(0)
    // one line on stdout: the URL
    expect(stdout.trim().split('\n')).toEqual([url.href])
  },
)

it('prints its URL as JSON, and keeps the token out of its command line', async () => {
  const started = startCli(['studio', 'runs', '--port', '0', '--control', '--output', 'json'], {
    cwd: await workingFolder(),
  })
  const document = JSON.parse(await printed(started, /}\n$/)) as { schemaVersion: number; url: string }
  expect(document).toEqual({
    schemaVersion: 1,
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/),
  })
  const token = document.url.split('=')[1]!
  expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain(token)
  started.child.kill('SIGINT')
  expect((await started.finished).code).toBe(0)
})

it('serves TLS with a certificate', async () => {
  const cwd = await workingFolder()
  const files = ['-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=localhost', '-days', '1']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...files], {
    cwd,
    stdio: 'ignore',
  })
  const started = startCli(
    ['studio', '--host', 'localhost', '--tls-cert', 'cert.pem', '--tls-key', 'key.pem'],
    { cwd },
  )
  const url = new URL((await printed(started, /\n/)).trim())
  expect(url.protocol).toBe('https:')
  const status = await new Promise((resolve, reject) => {
    const sent = request(new URL('/', url), { rejectUnauthorized: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    sent.on('error', reject).end()
  })
  expect(status).toBe(200)
  started.child.kill('SIGINT')
  expect((await started.finished).code).toBe(0)
})

test.each<[string, string[], RegExp]>([
  ['another address without TLS', ['--host', '192.0.2.1'], /--host 192\.0\.2\.1: not encrypted .*\nhint: /],
  ['a certificate without a key', ['--tls-cert', 'cert.pem'], /half of TLS .*\nhint: /],
  ['an origin with a path', ['--behind-proxy', 'https://lab.example/studio'], /wrong origin .*\nhint: /],
  ['an origin without TLS', ['--behind-proxy', 'http://lab.example'], /wrong origin .*\nhint: /],
  ['a folder that does not exist', ['nowhere'], /nowhere: folder not found\nhint: /],
  ['a file in the place of a folder', ['notes.txt'], /notes\.txt: not a folder\nhint: /],
  ['a port that does not exist', ['--port', '65536'], /--port: .*from 0 to 65535, found 65536\)\nhint: /],
  ['reviews in no folder', ['--reviews', 'no/me.jsonl'], /\/no: folder not found\nhint: /],
])('refuses %s with exit code 2', async (_, args, message) => {
  const cwd = temporaryFolder()
  mkdirSync(join(cwd, 'runs'))
  writeFileSync(join(cwd, 'notes.txt'), 'my notes')
  const { code, stdout, stderr } = await runCli(['studio', ...args], { cwd })
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(message)
})

test.each([
  ['a file of another kind', 'notes.txt', /notes\.txt: line 1/],
  ['a folder', 'runs', /runs: not a regular file/],
])('refuses %s as --reviews with exit code 3', async (_, name, message) => {
  const cwd = temporaryFolder()
  mkdirSync(join(cwd, 'runs'))
  writeFileSync(join(cwd, 'notes.txt'), 'my notes')
  const { code, stdout, stderr } = await runCli(['studio', '--reviews', name], { cwd })
  expect([code, stdout]).toEqual([3, ''])
  expect(stderr).toMatch(message)
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it, onTestFinished } from 'vitest'
import { builtMain, runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Start the server and return a caller of its tools. */
async function agentIn(folder: string) {
  // another working directory, as agents start servers
  const server = spawn(process.execPath, [builtMain, 'mcp', folder, '--control'], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void server.kill('SIGKILL'))
  const answers = new Map<number, (result: { content: { text: string }[]; isError?: boolean }) => void>()
  createInterface({ input: server.stdout }).on('line', (line) => {
    const { id, result, error } = JSON.parse(line)
    answers.get(id)?.(result ?? { content: [{ text: '' }, { text: JSON.stringify(error) }], isError: true })
  })
  let calls = 0
  const ask = (method: string, params: object) =>
    new Promise<{ content: { text: string }[]; isError?: boolean }>((resolve) => {
      answers.set(++calls, resolve)
      server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: calls, method, params })}\n`)
    })
  const clientInfo = { name: 'test', version: '1' }
  await ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo })
  server.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })}\n`)
  return {
    used: () => calls - 1,
    async call(name: string, given: object) {
      const { content, isError } = await ask('tools/call', { name, arguments: given })
      if (isError) throw new Error(content[1]?.text ?? content[0]?.text)
      return JSON.parse(content[1]!.text)
    },
    async end() {
      server.stdin.end()
      return (await once(server, 'exit'))[0]
    },
  }
}

const CONFIG = {
  job: 'baseline',
  name: 'agent',
  region: 'abdomen',
  data: { root: '.', datasets: [{ name: 'scans', role: 'labelled', labelMap: 'region' }] },
  sampling: { patchVoxels: [32, 32, 32], workers: 1, cropsPerVolume: 1, itemsPerStep: 1, mixing: false },
  networks: { segmentor: { kind: 'small', featureSize: 8, levels: 2 } },
  training: { steps: 2, warmupSteps: 0 },
  evaluation: { overlap: 0.25 },
  runtime: { device: 'cpu' },
}

it('an agent goes from a folder of scans to a report in at most 12 calls', async () => {
  const folder = realpathSync(temporaryFolder())
  const phantom = await runCli(['phantom', '--out', 'scans', '--cases', '3', '--size', '48'], {
    cwd: folder,
  })
  expect(phantom.code, phantom.stderr).toBe(0)
  const agent = await agentIn(folder)

  const { findings } = await agent.call('check_data', { paths: ['scans'], map: 'region' })
  expect(findings.filter(({ severity }: { severity: string }) => severity === 'error')).toEqual([])
  await agent.call('write_config', { file: 'agent.yaml', config: CONFIG })
  expect(await agent.call('check_config', { config: 'agent.yaml' })).toMatchObject({ ok: true })
  expect(await agent.call('plan_run', { config: 'agent.yaml' })).toMatchObject({ steps: 2 })
  const { directory } = await agent.call('start_training', { config: 'agent.yaml', out: 'run' })
  expect(directory).toBe(join(folder, 'run'))
  let run = await agent.call('wait_for_run', { run: 'run', seconds: 600 })
  expect(run).toMatchObject({ state: 'completed' })
  await agent.call('predict', { checkpoint: 'run', images: 'scans/imagesTr', out: 'masks' })
  await agent.call('evaluate', { predictions: 'masks', labels: 'scans/labelsTr', out: 'evaluation' })
  const { report } = await agent.call('write_report', { path: 'evaluation' })
  expect(readFileSync(report, 'utf8')).toContain('<html')
  expect(agent.used()).toBeLessThanOrEqual(12)

  // the end of the server saves and stops a training that it has started
  await agent.call('write_config', {
    file: 'long.yaml',
    config: { ...CONFIG, training: { steps: 100_000, warmupSteps: 0 } },
  })
  await agent.call('start_training', { config: 'long.yaml', out: 'long' })
  do run = await agent.call('wait_for_run', { run: 'long', seconds: 1 })
  while (run.state !== 'training')
  expect(await agent.end()).toBe(0)
  const exit = JSON.parse(readFileSync(join(folder, 'long/exit.json'), 'utf8'))
  expect(exit).toMatchObject({ outcome: 'stopped' })
  expect(existsSync(join(folder, 'long/checkpoints'))).toBe(true)
})

it('a message above the limit ends the server with an error that names the reason', async () => {
  const server = spawn(process.execPath, [builtMain, 'mcp'], {
    cwd: temporaryFolder(),
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  onTestFinished(() => void server.kill('SIGKILL'))
  let said = ''
  server.stderr.on('data', (text) => {
    said += text
  })
  // the server closes the pipe before it has read all
  server.stdin.on('error', () => {})
  server.stdin.write('x'.repeat(20 * 2 ** 20))
  expect((await once(server, 'close'))[0]).toBe(4)
  expect(said).toMatch(/^error: mcp: the connection of the agent broke \(.*size.*\)\n/)
})

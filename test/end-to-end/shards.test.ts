import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCli, startCli } from '../helpers/cli.js'
import { filesIn } from '../helpers/files-in.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('freetumor prepare --shard', () => {
  it('with a killed shard is complete after one more run of it, and equals a command without shards', async () => {
    const folder = temporaryFolder()
    const options = { cwd: folder }
    await runCli(['phantom', '--out', 'hosts', '--cases', '5', '--size', '32'], options)
    const config = {
      job: 'baseline',
      name: 'shards',
      region: 'abdomen',
      data: { root: '.', datasets: [{ name: 'hosts', role: 'labelled', labelMap: 'region' }] },
      prepare: { cache: 'parted', workers: 1 },
      networks: { segmentor: { kind: 'small', featureSize: 4, levels: 2 } },
    }
    writeFileSync(join(folder, 'parted.yaml'), JSON.stringify(config))
    const whole = { ...config, prepare: { ...config.prepare, cache: 'whole' } }
    writeFileSync(join(folder, 'whole.yaml'), JSON.stringify(whole))
    const prepare = ['prepare', '--config', 'parted.yaml']

    const killed = startCli([...prepare, '--shard', '1/2'], options)
    killed.child.stderr!.on('data', (text: string) => {
      if (/^1\/3 /m.test(text)) killed.child.kill('SIGKILL')
    })
    const [{ signal }, second, unsharded] = await Promise.all([
      killed.finished,
      runCli([...prepare, '--shard=2/2'], options),
      runCli(['prepare', '--config', 'whole.yaml'], options),
    ])
    expect(signal).toBe('SIGKILL')
    expect(second.code, second.stderr).toBe(0)
    expect(unsharded.code, unsharded.stderr).toBe(0)
    expect(second.stderr).toContain('shard 2 of 2 is complete')

    const refused = await runCli(['merge', 'parted.yaml'], options)
    expect(refused.code).toBe(3)
    expect(refused.stderr).toContain('1 of 2 shards are not complete')
    expect(refused.stderr).toContain('run `freetumor prepare --config parted.yaml --shard 1/2`')

    const again = await runCli([...prepare, '--shard', '1/2'], options)
    expect(again.code, again.stderr).toBe(0)
    const merged = await runCli(['merge', 'parted', '--output', 'json'], options)
    expect(merged.code, merged.stderr).toBe(0)
    expect(JSON.parse(merged.stdout)).toMatchObject({
      command: 'prepare',
      shards: 2,
      result: { failed: [], cases: [0, 1, 2, 3, 4].map((at) => ({ id: `hosts/phantom_00${at}` })) },
    })
    const cached = (name: string) => filesIn(join(folder, name)).filter(([path]) => path.includes('.zarr/'))
    expect(cached('whole').length).toBeGreaterThan(0)
    expect(cached('parted')).toEqual(cached('whole'))
    const others = await runCli([...prepare, '--shard', '1/3'], options)
    expect(others.code).toBe(2)
    expect(others.stderr).toContain('(expected `prepare` in 3 shards, found `prepare` in 2)')
  })
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readHardNegatives, readMeasuredRanges, readNumbers, readPositions } from '../../src/config/lists.js'
import { loadConfig } from '../../src/config/load.js'
import { ConfigError } from '../../src/errors.js'
import { temporaryFolder } from '../helpers/temporary.js'

function written(name: string, text: string): string {
  const path = join(temporaryFolder(), name)
  writeFileSync(path, text)
  return path
}

describe('lists of a file', () => {
  it('hold a number a line, with remarks and further columns left out', async () => {
    expect(await readNumbers(written('v.csv', '# ml\n0.5,case a\n\n 12\n'))).toEqual([0.5, 12])
  })

  it('hold a position a line, in mm, in voxels, or as simulate writes them', async () => {
    const text =
      '{"case": "a", "mm": [1, 2, -3], "organ": "liver"}\n{"voxel": [4, 5, 6]}\n{"index": 0, "centre": [7, 8, 9]}'
    expect(await readPositions(written('p.ndjson', text))).toEqual([
      { case: 'a', mm: [1, 2, -3], organ: 'liver' },
      { voxel: [4, 5, 6] },
      { voxel: [7, 8, 9] },
    ])
  })

  it.each([
    ['0.5\n-1\n', /v\.txt: line 2: no volume \(expected a number above 0/],
    ['', /v\.txt: the list is empty/],
  ])('with %j are refused by file and line', async (text, message) => {
    const failed = readNumbers(written('v.txt', text))
    await expect(failed).rejects.toThrow(ConfigError)
    await expect(failed).rejects.toThrow(message)
  })

  it('of no position are refused by file and line', async () => {
    await expect(readPositions(written('p.txt', '{"mm": [1, 2]}'))).rejects.toThrow(
      /p\.txt: line 1: no position/,
    )
    await expect(readPositions(written('p.txt', 'liver'))).rejects.toThrow(/line 1/)
    await expect(readPositions(join(temporaryFolder(), 'none.txt'))).rejects.toThrow(
      /none\.txt: list not found/,
    )
  })

  it('next to a configuration become part of it', async () => {
    const folder = temporaryFolder()
    const file = (name: string, text: string) => writeFileSync(join(folder, name), text)
    file('volumes.txt', '0.4\n3\n')
    file('places.ndjson', '{"case": "Hosts/a", "mm": [1, 2, 3]}\n')
    file(
      'run.yaml',
      'job: baseline\ndata: { root: ., datasets: [{ name: BTCV }] }\nsimulation: { volumesMl: volumes.txt, positions: places.ndjson }\n',
    )
    const { simulation } = await loadConfig(join(folder, 'run.yaml'))
    expect(simulation.volumesMl).toEqual([0.4, 3])
    expect(simulation.positions).toEqual([{ case: 'Hosts/a', mm: [1, 2, 3], organ: null }])
    file('places.ndjson', '{"voxel": [1, 2, 3]}\n')
    await expect(loadConfig(join(folder, 'run.yaml'))).rejects.toThrow(/simulation\.positions/)
  })
})

describe('a list of false positives', () => {
  it('is read from the lines of hard-negatives', async () => {
    const text =
      '{"case":"hosts/a","mm":[1,2.5,-3],"score":0.9,"volumeMl":0.2}\n\n{"case":"hosts/b","mm":[0,0,0]}\n'
    expect(await readHardNegatives(written('n.jsonl', text))).toEqual([
      { case: 'hosts/a', mm: [1, 2.5, -3], score: 0.9 },
      { case: 'hosts/b', mm: [0, 0, 0], score: null },
    ])
  })

  it.each([
    '{"mm": [1, 2, 3]}',
    '{"case": "a", "mm": [1, 2]}',
    '{"case": "a", "mm": [1, 2, 3], "score": 2}',
    '{"case": "a", "mm": [1, 2, 3], "scroe": 0.5}',
    'x',
  ])('refuses the line %s by its number', async (line) => {
    await expect(readHardNegatives(written('n.jsonl', line))).rejects.toThrow(
      /n\.jsonl: line 1: no false positive/,
    )
  })
})

describe('a list of missed sizes', () => {
  it('is read from the lines of an evaluation', async () => {
    const lines = [
      { organ: 'liver', diameterMm: [5, 10], found: 3, missed: 4 },
      { organ: 'kidney', diameterMm: [50, null], found: 0, missed: 0 },
      { organ: 'kidney', depthMm: [15, null], found: 0, missed: 2 },
      { organ: 'kidney', contrastHu: [null, -60], found: 3, missed: 0 },
    ]
    const text = lines.map((one) => `${JSON.stringify(one)}\n`).join('')
    expect(await readMeasuredRanges(written('m.jsonl', text))).toEqual(lines)
  })

  it.each([
    ['liver 5 10', /no measured range \(expected \{"organ"/],
    [
      '{"organ": "liver", "diameterMm": [5, 10], "found": 1}',
      /missed: wrong value \(expected number, found nothing/,
    ],
    ['{"organ": "liver", "diameterMm": [5], "found": 1, "missed": 1}', /diameterMm.*found \[5\]/],
    [
      '{"organ": "liver", "found": 1, "missed": 1}',
      /entry: .*expected exactly one of diameterMm, depthMm and/,
    ],
    ['{"organ": "liver", "depthMm": "5", "found": 1, "missed": 1}', /depthMm: .*found "5"/],
    ['{"organ": "livr", "depthMm": [0, 5], "found": 1, "missed": 1}', /organ: .*one of liver.*found "livr"/],
    ['{"organ": "liver", "diameterMm": [5, 10], "found": 1, "missed": 0.5}', /missed: .*found 0\.5/],
    [
      '{"organ": "liver", "diameterMm": [10, 5], "found": 1, "missed": 1}',
      /diameterMm: .*an end above its start/,
    ],
    [
      '{"organ": "liver", "diameterMm": [5, 10], "found": 1, "missed": 1, "fuond": 3}',
      /unknown key fuond \(did you mean found\?\)/,
    ],
  ])('refuses the line %s by its number and key', async (line, fault) => {
    const failed = readMeasuredRanges(written('m.jsonl', `# measured\n${line}\n`))
    await expect(failed).rejects.toThrow(ConfigError)
    await expect(failed).rejects.toThrow(/m\.jsonl: line 2: /)
    await expect(failed).rejects.toThrow(fault)
  })

  it('refuses two lines whose ranges overlap', async () => {
    const line = (ends: string) => `{"organ": "liver", "diameterMm": ${ends}, "found": 1, "missed": 1}\n`
    await expect(
      readMeasuredRanges(written('m.jsonl', `${line('[10, null]')}# more\n${line('[5, 12]')}`)),
    ).rejects.toMatchObject({
      message: expect.stringMatching(
        /m\.jsonl: line 3: diameterMm: overlaps line 1 \(expected ranges of liver without a common part, found \[10,null\] and \[5,12\]\)/,
      ),
      hint: expect.stringContaining('sums of found and missed'),
    })
  })

  it('is named in a configuration, which then has its entries; a range that ends before its start is refused', async () => {
    const folder = temporaryFolder()
    const file = (name: string, text: string) => writeFileSync(join(folder, name), text)
    const line = (to: number) => `{"organ":"liver","diameterMm":[5,${to}],"found":3,"missed":4}\n`
    file('m.jsonl', line(10))
    file(
      'run.yaml',
      'job: baseline\ndata: { root: ., datasets: [{ name: BTCV }] }\nsimulation: { curriculum: m.jsonl }\n',
    )
    const { simulation } = await loadConfig(join(folder, 'run.yaml'))
    expect(simulation.curriculum).toEqual([{ organ: 'liver', diameterMm: [5, 10], found: 3, missed: 4 }])
    file('m.jsonl', line(4))
    await expect(loadConfig(join(folder, 'run.yaml'))).rejects.toThrow(
      /m\.jsonl: line 1: diameterMm.*end above/,
    )
  })
})

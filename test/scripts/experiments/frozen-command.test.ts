import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { EARLY_PLAN, SHRUNK_PLAN } from '../../../scripts/experiments/early-plan.js'
import { readEntrant, refusePlanOfAnother } from '../../../scripts/experiments/frozen-command.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const planOf = (name: string) =>
  JSON.parse(readFileSync(`scripts/experiments/${name}.plan.json`, 'utf8')) as typeof EARLY_PLAN

it('an experiment accepts its frozen plan and refuses those of others', () => {
  const early = { name: 'early-tumors', plan: EARLY_PLAN }
  const shrunk = { name: 'shrunk-tumors', plan: SHRUNK_PLAN }
  refusePlanOfAnother(planOf('early-tumors'), early, 'a.json')
  refusePlanOfAnother(planOf('shrunk-tumors'), shrunk, 'a.json')
  for (const name of ['early-tumors', 'silent-scans', 'quality-policy'])
    expect(() => refusePlanOfAnother(planOf(name), shrunk, 'a.json')).toThrow(/a\.json: not a plan of shrunk/)
})

it.each([
  ['null', /no synthesizer/],
  ['{}', /no synthesizer/],
  ['{"checkpoint": "missing.pt", "plugin": {"command": ["x.py"]}}', /no synthesizer/],
  ['{"checkpoint": "missing.pt"}', /missing\.pt: file not found/],
  ['{bad', /JSON/],
  ['{"segmentor": {}}', /unknown key networks\.generator\.segmentor/],
])('the entrant %s is refused before a training starts', async (text, message) => {
  const file = join(temporaryFolder(), 'entrant.json')
  writeFileSync(file, text)
  await expect(readEntrant(file)).rejects.toThrow(message)
})

it('an entrant with a program is accepted', async () => {
  const file = join(temporaryFolder(), 'entrant.json')
  const section = { plugin: { command: ['x.py'] } }
  writeFileSync(file, JSON.stringify(section))
  expect(await readEntrant(file)).toEqual(section)
})

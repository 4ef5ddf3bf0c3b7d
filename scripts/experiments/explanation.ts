import type { Checks } from './checks.js'
import { type Comparison, points, type QualityControl, signed, WANTED_GAIN } from './judgement.js'
import { ARM_WORDS, type Arm } from './plan.js'
import type { Estimate } from './statistics.js'

/**
 * Explain the verdict by the ablations, in sentences: which step of the chain (more healthy scans, painted tumors, the
 * trained painter, quality control) brings a gain, which does not, and which measurement would decide an open one.
 */
export function explain(comparison: Comparison, checks: Checks | null): string[] {
  const { arms, steps, qualityControl } = comparison
  const has = (arm: Arm): boolean => arms.some((one) => one.arm === arm)
  return [
    ...(has('plainHosts') ? [`Healthy scans alone, without any tumor in them: ${effect(steps.hosts)}.`] : []),
    ...(has('handCrafted') ? [`Hand-crafted tumors in them: ${effect(steps.handCraftedTumors)}.`] : []),
    ...(has('trained') ? [`Tumors of the trained generator instead: ${effect(steps.generatedTumors)}.`] : []),
    ...(steps.generatorTraining
      ? [`That the generator was trained at all: ${effect(steps.generatorTraining)}.`]
      : []),
    ...(['handCrafted', 'trained'] as const).flatMap((arm) => {
      const found = qualityControl[arm]
      return found ? [qualitySentence(painter(arm), found)] : []
    }),
    ...falsePositiveSentence(comparison),
    ...(checks === null ? [] : [...keptSentences(checks), ...lookSentences(checks)]),
    ...decidingSentence(comparison),
  ]
}

function qualitySentence(painter: string, { dice, falsePositives }: QualityControl): string {
  const [low, high] = falsePositives.ci
  return `Quality control of the tumors by ${painter}, compared with all accepted: ${effect(dice)}; false positives a healthy case ${signed(falsePositives.mean)} (${signed(low)} to ${signed(high)}).`
}

function painter(arm: 'handCrafted' | 'trained'): string {
  return ARM_WORDS[arm].split(' + ')[0]!
}

/** State whether the condition of no more false positives is fulfilled, missed, or open. */
function falsePositiveSentence({ arms }: Comparison): string[] {
  const more = arms.find(({ arm }) => arm === 'trained')?.falsePositivesToRealOnly
  if (!more) return []
  const [low, high] = more.ci
  const word =
    low > 0
      ? 'more'
      : high < 0
        ? 'fewer'
        : 'not decided: more healthy cases would, or segmentors with fewer false positives than these'
  return [
    `False positives a healthy case, trained generator less real only: ${signed(more.mean)} (${signed(low)} to ${signed(high)}), ${word}.`,
  ]
}

function effect(estimate: Estimate | null): string {
  if (estimate === null) return 'not measured'
  const [low, high] = estimate.ci
  const word = low > 0 ? 'better' : high < 0 ? 'worse' : 'no difference that these cases and seeds can show'
  return `${points(estimate.mean)} of Dice (${points(low)} to ${points(high)}), ${word}`
}

function keptSentences({ judged }: Checks): string[] {
  return (['handCrafted', 'trained'] as const).flatMap((arm) => {
    const those = judged.filter((one) => one.arm === arm)
    const [kept, rejected] = [those.map((one) => one.kept), those.map((one) => one.rejected)].map((counts) =>
      counts.reduce((sum, count) => sum + count, 0),
    )
    if (kept! + rejected! === 0) return []
    const share = Math.round((100 * kept!) / (kept! + rejected!))
    return [
      `Quality control kept ${share} % of the tumors tried by ${painter(arm)} (${kept} of ${kept! + rejected!}).`,
    ]
  })
}

function lookSentences({ looks }: Checks): string[] {
  const { real } = looks
  if (!real) return []
  return (['handCrafted', 'trained'] as const).flatMap((arm) => {
    const look = looks[arm]
    if (!look) return []
    return [
      `Kept tumors, ${painter(arm)}: contrast ${look.contrastHu.toFixed(0)} HU where real ones have ${real.contrastHu.toFixed(0)}, texture ${look.textureHu.toFixed(0)} HU where they have ${real.textureHu.toFixed(0)}, volume ${look.volumeMl.toFixed(2)} ml where they have ${real.volumeMl.toFixed(2)}.`,
    ]
  })
}

/** Return the number of seeds that would separate a gain of the wanted size from none, if they scatter as these do. */
function decidingSentence({ gainBySeed, seeds }: Comparison): string[] {
  if (gainBySeed.length < 2) return ['One seed gives no scatter between seeds: more seeds would.']
  const mean = gainBySeed.reduce((sum, gain) => sum + gain, 0) / gainBySeed.length
  const variance = gainBySeed.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / (gainBySeed.length - 1)
  const needed = Math.max(3, Math.ceil(variance * (1.96 / (WANTED_GAIN / 2)) ** 2))
  const each = gainBySeed.map((gain, at) => `${seeds[at]} ${points(gain)}`).join(', ')
  return [
    `Trained generator less real only, seed by seed: ${each}. With this scatter between seeds ${needed} seeds would give an interval of half the wanted gain to either side.`,
  ]
}

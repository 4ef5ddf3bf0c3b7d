import { expect, it } from 'vitest'
import { preparationOf, publishedPreparation } from '../../src/config/preparation.js'
import { resolveConfig } from '../../src/config/resolve.js'

it.each(['abdomen', 'chest'] as const)(
  'the published preparation of the %s is that of its baseline training',
  (region) => {
    const training = resolveConfig({ job: 'baseline', region, data: { datasets: [{ name: 'BTCV' }] } })
    expect(publishedPreparation(region)).toEqual(preparationOf(training))
  },
)

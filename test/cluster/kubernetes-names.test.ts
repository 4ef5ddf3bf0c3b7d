import fc from 'fast-check'
import { expect, it } from 'vitest'
import { kubernetesName } from '../../src/cluster/kubernetes-names.js'

it('keeps the words of a name and adds a hash of the directory', () => {
  expect(kubernetesName('Abdomen Segmentation_8GPU', '/runs/a')).toBe('abdomen-segmentation-8gpu-704e1951')
  expect(kubernetesName('3d--tést', '/runs/a')).toBe('d-test-704e1951')
  expect(kubernetesName('肝臓', '/runs/a')).toBe('run-704e1951')
})

it('gives two directories two names, and a directory one', () => {
  expect(kubernetesName('a', '/runs/a')).not.toBe(kubernetesName('a', '/runs/b'))
  expect(kubernetesName('a', '/runs/a')).toBe(kubernetesName('a', '/runs/a'))
})

it('is a DNS label with room for the suffixes of Kubernetes, whatever the name is', () => {
  const texts = fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.string({ minLength: 60 }))
  fc.assert(
    fc.property(texts, (name) => {
      expect(kubernetesName(name, '/runs/a')).toMatch(/^[a-z]([a-z0-9-]{0,36}[a-z0-9])?$/)
    }),
  )
})

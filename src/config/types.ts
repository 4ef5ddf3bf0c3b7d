import { z } from 'zod'

/** Types that several sections of the configuration use. */
export const count = z.int().min(1)
export const natural = z.int().min(0)
export const probability = z.number().min(0).max(1)
export const positive = z.number().positive()
export const nonEmptyText = z.string().min(1)
export const vec3 = <T extends z.ZodType>(item: T) => z.tuple([item, item, item])

export const SIZES = ['tiny', 'small', 'medium', 'large'] as const

export type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T

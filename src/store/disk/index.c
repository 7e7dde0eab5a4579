#include "store/disk/index.h"
#include <pthread.h>
#include <stdlib.h>
struct slot { uint64_t hash; struct disk_entry e; };
struct disk_index { pthread_mutex_t m; struct slot *s; uint64_t n, used; };
static pthread_mutex_t *M(const struct disk_index *i){return (pthread_mutex_t*)(uintptr_t)&i->m;}
uint8_t disk_size_class(uint64_t size){unsigned c=0; while(disk_size_of_class((uint8_t)c)<size) c++; return (uint8_t)c;}
uint64_t disk_size_of_class(uint8_t c){ if(c<8) return (c+1u)*64; unsigned e=(c-8)/8, m=(c-8)%8; return ((uint64_t)(8+m+1)*64)<<e; }
err disk_index_new(const struct disk_index_config *c, struct disk_index **r){(void)c; struct disk_index*i=calloc(1,sizeof*i); i->n=1<<20; i->s=calloc(i->n,sizeof*i->s); pthread_mutex_init(&i->m,NULL); *r=i; return ERR_OK;}
struct disk_index *disk_index_free(struct disk_index *i){ if(i){free(i->s);free(i);} return NULL;}
static bool body(uint8_t k){return k==DISK_BODY;}
unsigned disk_index_find(const struct disk_index *i, uint64_t h, unsigned kinds, struct disk_entry *r){unsigned c=0; pthread_mutex_lock(M(i)); for(uint64_t k=0;k<16;k++){struct slot*s=&i->s[(h+k)&(i->n-1)]; if(s->e.kind&&s->hash==h&&(kinds>>s->e.kind&1)) r[c++]=s->e;} pthread_mutex_unlock(M(i)); return c;}
void disk_index_put(struct disk_index *i, uint64_t h, const struct disk_entry *e, struct disk_gone *g){*g=(struct disk_gone){0}; pthread_mutex_lock(M(i)); struct slot*f=NULL; for(uint64_t k=0;k<16;k++){struct slot*s=&i->s[(h+k)&(i->n-1)]; if(s->e.kind&&s->hash==h&&body(s->e.kind)==body(e->kind)){g->entries[g->count++]=s->e; f=s;i->used--;break;} if(!s->e.kind&&!f)f=s;} if(!f){g->entries[g->count++]=*e;g->is_lost=true;}else{f->hash=h;f->e=*e;i->used++;} pthread_mutex_unlock(M(i));}
bool disk_index_remove(struct disk_index *i, uint64_t h, uint32_t seg, uint32_t off, struct disk_entry *g){bool r=false; pthread_mutex_lock(M(i)); for(uint64_t k=0;k<16;k++){struct slot*s=&i->s[(h+k)&(i->n-1)]; if(s->e.kind&&s->hash==h&&disk_entry_is_at(&s->e,seg,off)){*g=s->e;s->e.kind=0;i->used--;r=true;break;}} pthread_mutex_unlock(M(i)); return r;}
void disk_index_remove_all(struct disk_index *i, uint64_t h, unsigned kinds, struct disk_gone *g){*g=(struct disk_gone){0};pthread_mutex_lock(M(i)); for(uint64_t k=0;k<16;k++){struct slot*s=&i->s[(h+k)&(i->n-1)]; if(s->e.kind&&s->hash==h&&(kinds>>s->e.kind&1)&&g->count<2){g->entries[g->count++]=s->e;s->e.kind=0;i->used--;}} pthread_mutex_unlock(M(i));}
bool disk_index_move(struct disk_index *i, uint64_t h, uint32_t seg, uint32_t off, const struct disk_entry *e){bool r=false; pthread_mutex_lock(M(i)); for(uint64_t k=0;k<16;k++){struct slot*s=&i->s[(h+k)&(i->n-1)]; if(s->e.kind&&s->hash==h&&disk_entry_is_at(&s->e,seg,off)){s->e=*e;r=true;break;}} pthread_mutex_unlock(M(i)); return r;}
void disk_index_hit(struct disk_index *i, uint64_t h, uint32_t seg, uint32_t off){pthread_mutex_lock(M(i)); for(uint64_t k=0;k<16;k++){struct slot*s=&i->s[(h+k)&(i->n-1)]; if(s->e.kind&&s->hash==h&&disk_entry_is_at(&s->e,seg,off)&&s->e.hits<3)s->e.hits++;} pthread_mutex_unlock(M(i));}
void disk_index_stats(const struct disk_index *i, struct disk_index_stats *r){*r=(struct disk_index_stats){i->used,0,i->n,i->n*sizeof(struct slot)};}
uint64_t disk_index_buckets(const struct disk_index *i){return i->n;}
uint64_t disk_index_walk(struct disk_index *i, uint64_t from, uint64_t count, void (*v)(void*, struct disk_entry*), void *a){pthread_mutex_lock(M(i)); for(uint64_t k=from;k<from+count&&k<i->n;k++) if(i->s[k].e.kind){v(a,&i->s[k].e); if(!i->s[k].e.kind)i->used--;} pthread_mutex_unlock(M(i)); return from+count<i->n?from+count:UINT64_MAX;}
void disk_index_hold(struct disk_index *i){(void)i;} void disk_index_release(struct disk_index *i){(void)i;}
uint64_t disk_index_copy(const struct disk_index *i, uint64_t from, uint64_t count, void *r){pthread_mutex_lock(M(i)); for(uint64_t k=0;k<count;k++){memset((char*)r+k*64,0,64); memcpy((char*)r+k*64,&i->s[from+k],sizeof(struct slot));} pthread_mutex_unlock(M(i)); return count;}
void disk_index_shape(const struct disk_index *i, struct disk_index_shape *r){*r=(struct disk_index_shape){i->n,20};}
err disk_index_reshape(struct disk_index *i, const struct disk_index_shape *s){return s->buckets==i->n?ERR_OK:ERR(CORRUPT);}
unsigned disk_index_load(struct disk_index *i, uint64_t b, const void *bytes, bool (*keep)(void*, const struct disk_entry*), void *a){struct slot s; memcpy(&s,bytes,sizeof s); if(!s.e.kind||i->s[b].e.kind||!keep(a,&s.e))return 0; i->s[b]=s; i->used++; return 1;}

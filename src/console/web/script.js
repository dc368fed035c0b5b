(()=>{
const live=document.querySelector('[data-live]'),mark=document.querySelector('.live');
const ago=()=>{const now=Date.now();for(const t of document.querySelectorAll('time[data-ago]')){const s=Math.max(0,Math.round((now-Date.parse(t.dateTime))/1000));t.textContent=s<60?s+' s ago':s<3600?Math.floor(s/60)+' min ago':s<86400?Math.floor(s/3600)+' h ago':Math.floor(s/86400)+' d ago'}};
setInterval(ago,1000);ago();
if(!live||!window.EventSource)return;
let paused=false,source;
const say=(on,text)=>{if(mark){mark.classList.toggle('on',on);mark.querySelector('span').textContent=text}};
const open=()=>{
source=new EventSource(live.dataset.live);
source.onopen=()=>say(true,'live');
source.onerror=()=>say(false,'connecting…');
source.addEventListener('rows',e=>{if(!live.matches('tbody'))return;const none=document.querySelector('.empty');if(none)none.remove();live.closest('.wide').hidden=false;live.insertAdjacentHTML('afterbegin',JSON.parse(e.data));while(live.rows.length>200)live.deleteRow(-1);ago()});
source.addEventListener('page',e=>{live.innerHTML=JSON.parse(e.data);ago()});
source.addEventListener('lost',e=>say(true,'live, '+JSON.parse(e.data).lost+' too fast to show'));
};
open();
const button=document.querySelector('[data-pause]');
if(button){button.hidden=false;button.onclick=()=>{paused=!paused;button.textContent=paused?'Resume':'Pause';button.setAttribute('aria-pressed',paused);if(paused){source.close();say(false,'paused')}else open()}}
})();
